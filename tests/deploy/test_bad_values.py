"""Values that cannot work are refused before anything is installed, with what was expected."""

import pytest
import yaml

from tests.deploy import chart

BAD = {
    "unknown platform": (
        "platform=openshift",
        "at '/platform': value must be one of 'plain', 'seldon', 'kserve'",
    ),
    "misspelt key": ("engine.replica=1", "additional properties 'replica' not allowed"),
    "unknown graph": ("graph=reimagin", "unknown name 'reimagin'; known: analyze, "),
    "unknown bundle": (
        "bundle=sd16",
        "bundle of graph 'reimagine': unknown name 'sd16'; known: photo, pocket, sd15",
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
        "nodes.edges.keda.maxReplicas=2,nodes.edges.keda.triggers[0].type=cpu,"
        "nodes.edges.keda.triggers[0].metadata.value=x",
        "nodes.edges: expected autoscaling or keda, got both",
    ),
    "cached metrics on Seldon": (
        "platform=seldon,nodes.edges.keda.minReplicas=1,nodes.edges.keda.maxReplicas=2,"
        "nodes.edges.keda.triggers[0].type=cpu,nodes.edges.keda.triggers[0].metadata.value=x,"
        "nodes.edges.keda.triggers[0].useCachedMetrics=false",
        "nodes.edges.keda.triggers[0]: expected no useCachedMetrics, which Seldon does not take",
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
    "a runbook that is no address": (
        "monitoring.runbook=docs/runbook.md",
        "'/monitoring/runbook': 'docs/runbook.md' does not match pattern",
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


# As they would stand in a file; Kubernetes or an operator would refuse them, most after half is there.
REFUSED = {
    "rollout that cannot move": (
        "node: {rollout: {maxSurge: 0}}",
        "nodes.rank.rollout: expected maxSurge or maxUnavailable above 0",
    ),
    "rollout that cannot move, in percent": (
        "{graph: edges, nodes: {edges: {rollout: {maxSurge: 0%, maxUnavailable: 0%}}}}",
        "nodes.edges.rollout: expected maxSurge or maxUnavailable above 0",
    ),
    "more than all pods": ("node: {rollout: {maxUnavailable: 101%}}", "'/node/rollout/maxUnavailable'"),
    "CPU in words": ("engine: {resources: {requests: {cpu: half}}}", "'/engine/resources/requests/cpu'"),
    "negative memory": ("node: {resources: {limits: {memory: -1}}}", "'/node/resources/limits/memory'"),
    "memory with a space": ("node: {resources: {limits: {memory: 2 Gi}}}", "'/node/resources/limits/memory'"),
    "unit that is none": ("node: {resources: {limits: {memory: 2GB}}}", "'/node/resources/limits/memory'"),
    "unknown resource": ("node: {resources: {limits: {gpu: 1}}}", "additional properties 'gpu' not allowed"),
    "resource of Kubernetes' own": (
        "node: {resources: {limits: {kubernetes.io/gpu: 1}}}",
        "'/node/resources/limits/kubernetes.io~1gpu'",
    ),
    "half a GPU": (
        "node: {resources: {limits: {nvidia.com/gpu: 0.5}}}",
        "'/node/resources/limits/nvidia.com",
    ),
    "request above the limit": (
        "engine: {resources: {requests: {memory: 3Gi}}}",
        "engine.resources: requests.memory is 3Gi, more than limits.memory, which is 2Gi",
    ),
    "request above the limit in other units": (
        "{graph: edges, node: {resources: {requests: {cpu: 1001m}, limits: {cpu: 1}}}}",
        "nodes.edges.resources: requests.cpu is 1001m, more than limits.cpu, which is 1",
    ),
    "GPUs asked for without a limit": (
        "{graph: edges, node: {resources: {requests: {nvidia.com/gpu: 1}}}}",
        "nodes.edges.resources: requests.nvidia.com/gpu: expected limits.nvidia.com/gpu, too",
    ),
    "other GPUs than those of the pool": (
        "{graph: edges, pools: {cpu: {gpu: {count: 2}}}, node: {resources: {requests: {nvidia.com/gpu: 1}}}}",
        "nodes.edges.resources: requests.nvidia.com/gpu: expected what limits.nvidia.com/gpu says, 2, got 1",
    ),
    "volume of nothing": ("cache: {size: 0Gi}", "'/cache/size'"),
    "more pods at least than at most": (
        "nodes: {edges: {autoscaling: {minReplicas: 3, maxReplicas: 2, cpuPercent: 70}}}",
        "nodes.edges.autoscaling: minReplicas is 3, more than maxReplicas, which is 2",
    ),
    "more pods than a number holds": ("engine: {replicas: 2147483648}", "'/engine/replicas'"),
    "host with a scheme": ("ingress: {enabled: true, host: 'https://a.example'}", "'/ingress/host'"),
    "host in capitals": ("ingress: {enabled: true, host: A.example}", "'/ingress/host'"),
    "host with a port": (
        "gateway: {enabled: true, parent: {name: a}, host: 'a.example:80'}",
        "'/gateway/host'",
    ),
    "host that is an address": ("ingress: {enabled: true, host: 10.0.0.1}", "'/ingress/host'"),
    "asterisk within a host": ("ingress: {enabled: true, host: 'a.*.example'}", "'/ingress/host'"),
    "class of an Ingress twice": (
        "ingress: {annotations: {kubernetes.io/ingress.class: nginx}}",
        "'/ingress/annotations'",
    ),
    "certificate in capitals": ("ingress: {tlsSecret: Secret}", "'/ingress/tlsSecret'"),
    "claim with two dots": ("cache: {volume: existing, claim: a..b}", "'/cache/claim'"),
    "label with a space": ("pools: {cpu: {nodeSelector: {pool: a b}}}", "'/pools/cpu/nodeSelector/pool'"),
    "label that is no text": ("pools: {cpu: {nodeSelector: {gpu: true}}}", "'/pools/cpu/nodeSelector/gpu'"),
    "label that is too long": (f"commonLabels: {{team: {'a' * 64}}}", "'/commonLabels/team'"),
    "label that selectors use": ("commonLabels: {app.kubernetes.io/name: a}", "'/commonLabels'"),
    "label with two slashes": ("commonLabels: {a/b/c: d}", "'/commonLabels'"),
    "control characters": ('node: {env: {A: !!str "a\\x7f"}}', "'/node/env/A'"),
    "what is no character": ('node: {env: {A: "a\\uffff"}}', "'/node/env/A'"),
    "a key that is none": (
        "nodes: {edges: {keda: {minReplicas: 0, maxReplicas: 1, "
        'triggers: [{type: cpu, metadata: {"a\\ufffe": b}}]}}}',
        "invalid propertyName 'a\\ufffe'",
    ),
    "control characters, far within": (
        'podTemplate: {spec: {dnsConfig: {searches: ["a\\x7f"]}}}',
        "podTemplate: expected text without control characters",
    ),
    "annotation that is no text": ("service: {annotations: {a: 1}}", "'/service/annotations/a'"),
    "toleration of everything with a value": (
        "pools: {cpu: {tolerations: [{key: a, operator: Exists, value: b}]}}",
        "'/pools/cpu/tolerations/0'",
    ),
    "effect that is none": (
        "pools: {cpu: {tolerations: [{key: a, effect: Never}]}}",
        "'/pools/cpu/toleration",
    ),
    "predictor in capitals": ("predictors: {Canary: {bundle: sd15}}", "additional properties 'Canary' not"),
    "predictor that says nothing": ("predictors: {canary: {}}", "predictors.canary: expected what differs"),
    "predictor of Seldon too long": (
        f"{{platform: seldon, predictors: {{{'a' * 40}: {{bundle: sd15}}}}, fullnameOverride: {'b' * 53}}}",
        "Kubernetes takes 63; shorten it, or set fullnameOverride",
    ),
    "environment with a dash": ("node: {env: {A-B: c}}", "additional properties 'A-B' not allowed"),
    "environment named by what YAML takes for a boolean": ("node: {env: {'true': x}}", "'/node/env/true'"),
    "number too large to keep": ("node: {env: {A: 9007199254740993}}", "'/node/env/A'"),
    "tag with a slash": ("image: {tag: a/b}", "'/image/tag'"),
    "repository in capitals": ("image: {repository: a/B}", "'/image/repository'"),
    "repository with a tag": ("image: {repository: 'a/b:1'}", "'/image/repository'"),
    "section that is taken away": ("engine: null", "missing property 'engine'"),
    "trigger without metadata": (
        "nodes: {edges: {keda: {minReplicas: 0, maxReplicas: 1, triggers: [{type: cpu}]}}}",
        "missing property 'metadata'",
    ),
    "nobody may come": ("networkPolicy: {clients: [{}]}", "'/networkPolicy/clients/0'"),
    "network without its size": ("networkPolicy: {clients: [{ipBlock: {cidr: 10.0.0.0}}]}", "/ipBlock/cidr'"),
    "network that is none": ("networkPolicy: {clients: [{ipBlock: {cidr: ':/0'}}]}", "/ipBlock/cidr'"),
    "name in capitals to begin with": ("fullnameOverride: Photos", "'/fullnameOverride'"),
    "container of another image": ("podTemplate: {container: {image: a}}", "'/podTemplate/container/image'"),
    "second container": ("podTemplate: {spec: {containers: []}}", "'/podTemplate/spec/containers'"),
    "pull when there is none": (
        "podTemplate: {container: {imagePullPolicy: Sometimes}}",
        "'/podTemplate/container/imagePullPolicy'",
    ),
    "spread that says half of it": (
        "engine: {podTemplate: {spec: {topologySpreadConstraints: [{topologyKey: kubernetes.io/hostname}]}}}",
        "/topologySpreadConstraints/0': missing properties 'maxSkew', 'whenUnsatisfiable'",
    ),
    "spread that says the same twice": (
        "podTemplate: {spec: {topologySpreadConstraints: ["
        "{topologyKey: zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}, "
        "{topologyKey: zone, maxSkew: 2, whenUnsatisfiable: DoNotSchedule}]}}",
        "expected a topologyKey once with each whenUnsatisfiable, got 'zone, DoNotSchedule' twice",
    ),
    "less than no time to end": (
        "podTemplate: {spec: {terminationGracePeriodSeconds: -1}}",
        "'/podTemplate/spec/terminationGracePeriodSeconds'",
    ),
    "mount of no volume, at first": (
        "modelInit: {container: {volumeMounts: [{name: more, mountPath: /more}]}}",
        "volumeMounts of container 'model-init': unknown name 'more'; known: models, tmp",
    ),
    "mount of no volume": (
        "podTemplate: {container: {volumeMounts: [{name: more, mountPath: /more}]}}",
        "volumeMounts of container 'rank': unknown name 'more'; known: models, tmp",
    ),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_what_kubernetes_would_refuse_is_refused_before(values: str, message: str) -> None:
    done = chart.template(given=yaml.safe_load(values))
    assert done.returncode != 0
    assert message in done.stderr
