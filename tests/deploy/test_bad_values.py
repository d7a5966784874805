"""Values that cannot work are refused before anything is installed, with what was expected."""

import pytest

from tests.deploy import chart

BAD = {
    "unknown platform": (
        "platform=openshift",
        "at '/platform': value must be one of 'plain', 'seldon', 'kserve'",
    ),
    "misspelt key": ("engine.replica=1", "additional properties 'replica' not allowed"),
    "unknown graph": ("graph=reimagin", "unknown name 'reimagin'; known: caption, create, depth"),
    "unknown bundle": (
        "bundle=sd16",
        "bundle of graph 'reimagine': unknown name 'sd16'; known: pocket, sd15",
    ),
    "unknown node": ("nodes.depht.replicas=2", "nodes: unknown name 'depht'; known: caption, depth, edges"),
    "unknown pool": ("nodes.depth.pool=a100", "nodes.depth.pool: unknown name 'a100'; known: cpu"),
    "traffic over 100": (
        "predictors.canary.traffic=20,predictors.canary.bundle=sd15",
        "predictors: traffic adds up to 120, expected 100",
    ),
    "traffic below 100": ("predictors.default.traffic=90", "predictors: traffic adds up to 90, expected 100"),
    "canary without version": (
        "predictors.canary.traffic=20,predictors.default.traffic=80",
        "predictors.canary: expected what differs from the default: graph, bundle or image",
    ),
    "canary with an empty image": (
        "predictors.canary.image.tag=",
        "'/predictors/canary/image/tag': minLength",
    ),
    "no default": ("predictors.default=null", "missing property 'default'"),
    "default as shadow": ("predictors.default.shadow=true", "predictors.default: expected no shadow"),
    "two shadows": (
        "predictors.a.shadow=true,predictors.a.bundle=sd15,predictors.b.shadow=true,predictors.b.bundle=sdxl",
        "predictors: expected one shadow at most, got 2",
    ),
    "GPU pool without GPU": (
        "pools.gpu.nodeSelector.accelerator=l4",
        "at '/pools/gpu': missing property 'gpu'",
    ),
    "GPU pool with no GPUs": ("pools.gpu.gpu.count=0", "'/pools/gpu/gpu/count': minimum: got 0, want 1"),
    "missing claim": ("cache.volume=existing", "cache.claim: expected the name of a PersistentVolumeClaim"),
    "router on KServe": ("platform=kserve,graph=create", "graph 'create': KServe can neither ask a router"),
    "two ways to scale": (
        "nodes.edges.autoscaling.minReplicas=1,nodes.edges.autoscaling.maxReplicas=2,"
        "nodes.edges.autoscaling.cpuPercent=70,nodes.edges.keda.minReplicas=1,"
        "nodes.edges.keda.maxReplicas=2,nodes.edges.keda.triggers[0].type=cpu",
        "nodes.edges: expected autoscaling or keda, got both",
    ),
    "ingress without host": ("ingress.enabled=true", "at '/ingress/host': minLength"),
    "route without gateway": (
        "gateway.enabled=true,gateway.host=a.example",
        "'/gateway/parent/name': minLength",
    ),
    "no time to finish": (
        "termination.drainSeconds=0",
        "'/termination/drainSeconds': minimum: got 0, want 1",
    ),
    "size without unit": ("cache.size=50", "'/cache/size'"),
    "tag as digest": ("image.digest=1.0", "'/image/digest'"),
    "name in capitals": ("graph=Reimagine", "'/graph': 'Reimagine' does not match pattern"),
}


@pytest.mark.parametrize(("setting", "message"), BAD.values(), ids=BAD)
def test_a_value_that_cannot_work_is_refused_with_what_was_expected(setting: str, message: str) -> None:
    done = chart.template("--set", setting)
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize(("platform", "length"), [("plain", 63), ("kserve", 63)])
def test_a_name_too_long_for_a_service_is_refused_and_the_longest_is_not(platform: str, length: int) -> None:
    suffix = "-default-segmentation" + ("-predictor" if platform == "kserve" else "")
    fitting = "r" * (length - len(suffix))
    assert chart.template("--set", f"platform={platform}", release=fitting).returncode == 0
    done = chart.template("--set", f"platform={platform}", release=fitting + "r")
    assert done.returncode != 0
    assert "node 'segmentation': " in done.stderr
    assert "has 64 characters, more than 63" in done.stderr
