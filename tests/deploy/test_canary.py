"""Canaries: the steps of helm, and what is told and done on the way."""

import gzip
import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import imagegraph.cli.canary
from imagegraph import __version__
from imagegraph.cli import app
from imagegraph.deploy import helm, render, rollout
from imagegraph.errors import ImagegraphError, Unavailable, UnknownName
from tests.deploy import chart
from tests.deploy.api import Api, engines, pod

PREDICTORS = {
    "default": {"traffic": 80, "image": {"tag": "1"}},
    "canary": {"traffic": 20, "bundle": "sd15"},
}


def test_promotion_moves_the_version_first_and_takes_the_canary_away_last() -> None:
    assert helm.promotion(PREDICTORS, "canary") == [
        {
            "default": {"traffic": 100, "image": {"tag": "1"}, "bundle": "sd15"},
            "canary": {"traffic": 0, "bundle": "sd15"},
        },
        {"default": {"traffic": 100, "image": {"tag": "1"}, "bundle": "sd15"}},
    ]


DIGESTS = [f"sha256:{digit * 64}" for digit in "12"]


@pytest.mark.parametrize(
    ("first", "second", "image"),
    [
        ({"image": {"tag": "2"}}, {"bundle": "sd15"}, "imagegraph:2"),
        ({"image": {"tag": "2"}}, {"image": {"repository": "mine"}}, "mine:2"),
        ({"image": {"repository": "mine"}}, {"image": {"tag": "2"}}, "mine:2"),
        ({"image": {"tag": "2"}}, {"image": {"digest": DIGESTS[0]}}, f"imagegraph@{DIGESTS[0]}"),
        ({"image": {"digest": DIGESTS[0]}}, {"image": {"digest": DIGESTS[1]}}, f"imagegraph@{DIGESTS[1]}"),
        ({"image": {"digest": DIGESTS[0]}}, {"image": {"tag": "2"}}, "imagegraph:2"),
        ({"image": {"digest": DIGESTS[0]}}, {"graph": "depth"}, f"imagegraph@{DIGESTS[0]}"),
        ({"graph": "depth"}, {"bundle": "sd15"}, "imagegraph:1"),
    ],
)
def test_a_canary_after_a_promotion_differs_from_what_was_promoted_and_can_be_promoted_too(
    first: dict[str, Any], second: dict[str, Any], image: str, tmp_path: Path
) -> None:
    def versions(predictors: dict[str, Any]) -> dict[str, tuple[set[str], list[str]]]:
        file = tmp_path / "values.yaml"
        file.write_text(json.dumps({"graph": "edges", "image": {"tag": "1"}, "predictors": predictors}))
        found: dict[str, tuple[set[str], list[str]]] = {}
        for one in chart.pods(chart.objects("--values", str(file))):
            if one.node:
                [container] = one.spec["containers"]
                images, arguments = found.setdefault(one.node[0], (set(), []))
                images.add(container["image"])
                arguments.extend(container["args"])
        return found

    steps = helm.promotion({"default": {"traffic": 80}, "canary": {"traffic": 20, **first}}, "canary")
    assert versions(steps[0])["default"] == versions(steps[0])["canary"] == versions(steps[1])["default"]
    steps = helm.promotion({**steps[1], "next": {"traffic": 0, **second}}, "next")
    assert versions(steps[0])["default"] == versions(steps[0])["next"] == versions(steps[1])["default"]
    images, arguments = versions(steps[1])["default"]
    assert images == {image}
    wanted = {"graph": "edges", "bundle": "pocket", **first, **second}
    assert {f"--component={wanted['graph']}", f"--bundle={wanted['bundle']}"} <= set(arguments)


def test_rollback_gives_the_traffic_back_and_keeps_the_old_version() -> None:
    default = {"traffic": 100, "image": {"tag": "1"}}
    assert helm.rollback(PREDICTORS, "canary") == [
        {"default": default, "canary": {"traffic": 0, "bundle": "sd15"}},
        {"default": default},
    ]


def test_a_default_without_traffic_gets_all_of_it_back() -> None:
    predictors = {"default": {}, "canary": {"traffic": 100, "bundle": "sd15"}}
    assert helm.rollback(predictors, "canary")[-1] == {"default": {"traffic": 100}}


def test_a_shadow_has_no_traffic_to_give() -> None:
    shadow = {"default": {"traffic": 100}, "trial": {"shadow": True, "traffic": 10, "bundle": "sd15"}}
    assert helm.promotion(shadow, "trial")[-1] == {"default": {"traffic": 100, "bundle": "sd15"}}


@pytest.mark.parametrize("name", ["default", "canari"])
def test_what_is_no_canary_is_refused(name: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown canary '{name}'.*Available: canary"):
        helm.promotion(PREDICTORS, name)


GIVEN = {
    "default": {"traffic": 70},
    "canary": {"traffic": 20, "bundle": "sd15"},
    "better": {"traffic": 10, "bundle": "sdxl"},
}


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        for name in GIVEN:
            server.objects["pods"].append(pod(name, ready=True))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def cluster(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster with the release `photos`: an API, and a helm that keeps its values in a file."""
    kept = tmp_path / "values.json"
    kept.write_text(json.dumps({"graph": "reimagine", "predictors": GIVEN}))
    (tmp_path / "platform").write_text("plain")
    (tmp_path / "status").write_text("failed")
    (tmp_path / "version").write_text(__version__)
    helm = tmp_path / "helm"
    helm.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/calls
case "$*" in
  *--all*) sed "s/{{/{{\\"platform\\": \\"$(cat {tmp_path}/platform)\\", /" {kept};;
  get*) cat {kept};;
  history*) printf '[{{"revision": %d, "status": "%s", "chart": "imagegraph-%s"}}]' \\
    "$(grep -c ^upgrade {tmp_path}/calls)" "$(cat {tmp_path}/status)" "$(cat {tmp_path}/version)";;
  upgrade*) cat > {kept}
    test ! -e {tmp_path}/others || {{ cat {tmp_path}/others > {kept}; echo upgrade >> {tmp_path}/calls; }};;
esac
"""
    )
    helm.chmod(0o755)
    monkeypatch.setattr(render, "find_helm", lambda root: str(helm))
    monkeypatch.setattr(rollout, "POLL_S", 0.01)
    config_file = tmp_path / "kubeconfig"
    config_file.write_text(
        json.dumps(
            {
                "clusters": [
                    {"name": "c", "cluster": {"server": f"http://127.0.0.1:{api.server_address[1]}"}}
                ],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {}}],
                "current-context": "c",
            }
        )
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(config_file))
    return kept


def upgrades(cluster: Path) -> list[str]:
    """The options of every `helm upgrade`."""
    calls = (cluster.parent / "calls").read_text().splitlines()
    return [line for line in calls if line.startswith("upgrade")]


def canary(*arguments: str) -> str:
    result = CliRunner().invoke(app.app, ["canary", *arguments, "-n", "prod"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_status_shows_both_sides_and_what_speaks_against_the_canary(watched: str, cluster: Path) -> None:
    text = canary("status", "photos", "--prometheus", watched, "--window", "1h", "--max-slowdown", "20")
    assert "20 %" in text
    assert "1/1" in text
    assert "the canary fails more often" in text
    assert "slower" not in text


def test_on_seldon_the_figures_are_those_of_the_document_by_its_own_name(watched: str, cluster: Path) -> None:
    (cluster.parent / "platform").write_text("seldon")
    cluster.write_text(json.dumps({"fullnameOverride": "photos", "predictors": GIVEN}))
    text = canary("status", "2024-photos", "--prometheus", watched, "--window", "1h")
    assert text.count("300") == 2


def test_promote_refuses_and_changes_nothing(watched: str, cluster: Path, api: Api) -> None:
    before = cluster.read_text()
    api.objects["pods"].append(pod("canary", ready=False))
    with pytest.raises(
        ImagegraphError, match="is not promoted: 'canary' has 1 of 2 pods ready; .*more often.*slower"
    ):
        canary("promote", "photos", "--prometheus", watched, "--window", "1h")
    assert cluster.read_text() == before


def test_promote_upgrades_step_by_step_and_keeps_the_other_values(watched: str, cluster: Path) -> None:
    text = canary("promote", "photos", "--prometheus", watched, "--window", "1h", "--canary", "better")
    assert "step 2 of 2" in text
    assert json.loads(cluster.read_text()) == {
        "graph": "reimagine",
        "predictors": {
            "default": {"traffic": 80, "bundle": "sdxl"},
            "canary": {"traffic": 20, "bundle": "sd15"},
        },
    }
    first, second = upgrades(cluster)
    assert "--wait" in first, "the default's new pods answer before the canary goes"
    assert "--wait" not in second
    assert "--namespace prod" in first


FUTURE, PAST = "2126-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


def test_a_step_ends_when_no_engine_splits_as_before(cluster: Path, api: Api) -> None:
    api.engines = [
        {},
        engines(seen=False),
        engines(old=1),
        engines(leaving=FUTURE),
        engines(leaving=PAST),  # on a machine that is silent: its end will not be told
    ]
    canary("rollback", "photos")
    assert len(api.engines) == 1
    assert len(upgrades(cluster)) == 2


def test_rollback_waits_for_no_pod_of_the_canary_and_needs_no_figures(cluster: Path, api: Api) -> None:
    api.objects["pods"].append(pod("canary", ready=False))
    text = canary("rollback", "photos")
    assert "step 2 of 2" in text
    assert not any("--wait" in line for line in upgrades(cluster))
    assert json.loads(cluster.read_text())["predictors"] == {
        "default": {"traffic": 90},
        "better": {"traffic": 10, "bundle": "sdxl"},
    }


def test_an_engine_that_the_canary_keeps_from_starting_does_not_keep_it(cluster: Path, api: Api) -> None:
    api.engines = [{}, engines(stuck=True), engines()]
    text = canary("rollback", "photos")
    assert "'photos-engine-new' is in CrashLoopBackOff: error: graph.yaml: unknown node 'x'" in text
    assert "canary" not in json.loads(cluster.read_text())["predictors"]


def test_an_engine_that_does_not_start_without_the_canary_either_is_told(cluster: Path, api: Api) -> None:
    api.engines = [{}, engines(stuck=True)]
    with pytest.raises(ImagegraphError, match="the new engine does not start: pod 'photos-engine-new'"):
        canary("rollback", "photos")


def test_an_engine_for_which_the_canary_leaves_no_room_does_not_keep_it(
    cluster: Path, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagegraph.cli.canary, "ROOM_S", 0.05)
    homeless = engines(old=1, homeless=True)
    api.engines = [{}, *[homeless] * 20, engines()]
    text = canary("rollback", "photos")
    assert "'photos-engine-new' is Unschedulable: 0/1 nodes are available; the canary goes" in text
    assert "canary" not in json.loads(cluster.read_text())["predictors"]


def test_rollback_after_it_was_interrupted_does_both_steps_again(cluster: Path) -> None:
    given = {
        "default": {"traffic": 90},
        "canary": {"traffic": 0, "bundle": "sd15"},
        "better": GIVEN["better"],
    }
    cluster.write_text(json.dumps({"predictors": given}))
    canary("rollback", "photos")
    assert len(upgrades(cluster)) == 2, "engines may not have read of the first yet"


def test_rollback_that_was_killed_while_the_canary_went_is_ended(cluster: Path, api: Api) -> None:
    given = {"default": {"traffic": 90}, "better": GIVEN["better"]}
    cluster.write_text(json.dumps({"predictors": given}))
    (cluster.parent / "status").write_text("pending-upgrade")
    assert "step 1 of 1" in canary("rollback", "photos")
    assert json.loads(cluster.read_text())["predictors"] == given


def test_rollback_gives_up_an_upgrade_that_is_under_way(cluster: Path, api: Api) -> None:
    (cluster.parent / "status").write_text("pending-upgrade")
    for status, version in (("deployed", "3"), ("pending-upgrade", "4"), ("pending-install", "1")):
        labels = {"owner": "helm", "name": "photos", "status": status, "version": version}
        document = gzip.compress(json.dumps({"info": {"status": status}, "version": int(version)}).encode())
        data = {"release": b64encode(b64encode(document)).decode()}
        api.add("secrets", f"sh.helm.release.v1.photos.v{version}", labels, data=data)
    api.add("secrets", "of-others", {"owner": "helm", "name": "other", "status": "pending-upgrade"})
    assert "revision 4 was still under way: it is given up" in canary("rollback", "photos")
    found = [one["metadata"]["labels"]["status"] for one in api.objects["secrets"]]
    assert found == ["deployed", "failed", "pending-install", "pending-upgrade"]
    kept = gzip.decompress(b64decode(b64decode(api.objects["secrets"][1]["data"]["release"])))
    assert json.loads(kept) == {"info": {"status": "failed"}, "version": 4}


def test_rollback_removes_what_helm_does_not_know_of(cluster: Path, api: Api) -> None:
    for predictor in ("trial", "default"):
        for plural in ("deployments", "services", "poddisruptionbudgets"):
            api.add(plural, f"photos-{predictor}-edges", {"imagegraph/predictor": predictor})
    text = canary("rollback", "photos", "--canary", "trial")
    assert "no values name 'trial' any more; what an upgrade has left of it goes" in text
    assert sorted(api.deleted) == [
        f"{plural}/photos-trial-edges" for plural in ("deployments", "poddisruptionbudgets", "services")
    ]
    assert len(upgrades(cluster)) == 1
    assert json.loads(cluster.read_text())["predictors"] == GIVEN
    with pytest.raises(UnknownName, match="unknown canary 'trial'"):
        canary("rollback", "photos", "--canary", "trial")
    with pytest.raises(UnknownName, match="unknown canary 'default'"):
        canary("rollback", "photos", "--canary", "default")


def test_whoever_may_not_ask_for_an_operators_objects_can_roll_back(cluster: Path, api: Api) -> None:
    api.forbidden = {"scaledobjects", "inferenceservices", "inferencegraphs"}
    assert "step 2 of 2" in canary("rollback", "photos")
    api.forbidden = {"deployments"}
    with pytest.raises(Unavailable, match="403"):
        canary("rollback", "photos", "--canary", "trial")


def test_a_change_by_somebody_else_between_two_steps_is_kept(cluster: Path, api: Api) -> None:
    theirs = json.dumps({"graph": "depth", "predictors": GIVEN})
    (cluster.parent / "others").write_text(theirs)
    with pytest.raises(Unavailable, match="somebody else changes 'photos', too"):
        canary("rollback", "photos")
    assert cluster.read_text() == theirs


@pytest.mark.parametrize("verb", ["promote", "rollback"])
def test_a_release_of_another_version_of_the_chart_wants_that_version(
    cluster: Path, watched: str, verb: str
) -> None:
    (cluster.parent / "version").write_text("0.0.9-rc.1")
    options = ["--canary", "better", *(["--prometheus", watched] if verb == "promote" else [])]
    with pytest.raises(ImagegraphError, match=r"chart: expected that of 'photos', version 0.0.9-rc.1: say"):
        canary(verb, "photos", *options)
    canary(verb, "photos", *options, "--chart", "oci://registry.example/charts/imagegraph")
    first, second = upgrades(cluster)
    for line in (first, second):
        assert "upgrade photos oci://registry.example/charts/imagegraph --version=0.0.9-rc.1 " in line


def test_a_release_that_is_not_there_is_named_with_its_namespace(cluster: Path) -> None:
    (cluster.parent / "helm").write_text("#!/bin/sh\necho 'Error: release: not found' >&2; exit 1\n")
    with pytest.raises(ImagegraphError, match="release 'photos' in namespace 'prod': Error: release: not"):
        canary("rollback", "photos")


def test_the_cluster_is_the_one_that_helm_is_told_of(
    cluster: Path, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cluster.parent / "kubeconfig"
    several = json.loads(file.read_text())
    several["clusters"].append({"name": "other", "cluster": {"server": "http://127.0.0.1:1"}})
    several["contexts"].append({"name": "other", "context": {"cluster": "other", "user": "u"}})
    file.write_text(json.dumps({**several, "current-context": "other"}))
    monkeypatch.setenv("HELM_KUBECONTEXT", "c")
    assert "step 2 of 2" in canary("rollback", "photos")


@pytest.mark.parametrize(("ready", "steps"), [(True, 2), (False, 1)])
def test_on_seldon_a_canary_that_is_not_ready_goes_at_once(
    cluster: Path, api: Api, ready: bool, steps: int
) -> None:
    (cluster.parent / "platform").write_text("seldon")
    if not ready:
        api.objects["pods"].append(pod("canary", ready=False))
    text = canary("rollback", "photos")
    assert f"step 1 of {steps}" in text
    assert ("once the SeldonDeployment is Available" in text) == ready
    assert ("canary" in json.loads(cluster.read_text())["predictors"]) == ready
    assert len(upgrades(cluster)) == 1
    canary("rollback", "photos") if ready else None
    assert "canary" not in json.loads(cluster.read_text())["predictors"]


def test_a_cluster_that_is_not_there_is_told(
    watched: str, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere")
    with pytest.raises(Unavailable, match="Kubernetes does not show"):
        canary("status", "photos", "--prometheus", watched)


def test_a_release_without_that_canary_is_told(cluster: Path) -> None:
    with pytest.raises(UnknownName, match="unknown canary 'trial'. Available: better, canary"):
        canary("status", "photos", "--canary", "trial")
