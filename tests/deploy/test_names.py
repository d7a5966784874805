"""Names of objects: what Kubernetes refuses is refused first, and all fit whatever the release is called."""

import pytest

from tests.deploy import chart, rules

LONGEST = "a" + "-123456789" * 5 + "-z"  # helm takes 53 characters


@pytest.mark.parametrize("release", ["2024-photos", "2024", "my.photos"])
def test_a_release_that_no_service_can_be_named_after_is_refused_with_a_way_out(release: str) -> None:
    done = chart.template(release=release)
    assert done.returncode != 0
    assert f"release '{release}': Kubernetes wants names of Services to begin with a letter" in done.stderr
    assert "set fullnameOverride" in done.stderr
    rendered = chart.objects("--set", "fullnameOverride=photos", release=release)
    rules.check(rendered)
    assert {one["metadata"]["name"].partition("-")[0] for one in rendered} == {"photos"}
    assert all(one["metadata"]["labels"]["app.kubernetes.io/instance"] == release for one in rendered)


@pytest.mark.parametrize("fill", ["init", "job"])
@pytest.mark.parametrize("platform", ["plain", "seldon", "kserve"])
def test_every_name_fits_whatever_the_release_is_called(platform: str, fill: str) -> None:
    settings = f"platform={platform},cache.fill={fill},cache.volume=perPool,predictors.canary.bundle=sd15"
    rendered = chart.objects("--set", settings, release=LONGEST)
    rules.check(rendered)
    names = [(one["kind"], one["metadata"]["name"]) for one in rendered]
    assert len(set(names)) == len(names)
    document = chart.document(rendered)
    if document and platform != "seldon":  # the engine asks for Services by the same names
        hosts = {one.service_host for part in document.spec.predictors for one in part.endpoints.values()}
        services = {name for kind, name in names if kind == "Service"}
        services |= {f"{name}-predictor" for kind, name in names if kind == "InferenceService"}
        assert hosts == services - {f"{LONGEST}-engine"}


@pytest.mark.parametrize("name", ["true", "null", "e1", "on", "y"])
def test_a_release_may_be_called_what_yaml_takes_for_something_else(name: str) -> None:
    rendered = chart.objects("--set", "platform=seldon", release=name)
    assert chart.of_kind("SeldonDeployment", rendered)[0]["metadata"]["name"] == name
    for one in rendered:
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == name


@pytest.mark.parametrize("name", ["123", "1e3", "0x10", "true"])
def test_so_may_a_predictor(name: str) -> None:
    settings = f"graph=edges,predictors.{name}.image.tag=2"
    pods = chart.pods(chart.objects("--set-string", settings))
    assert {pod.node[0] for pod in pods if pod.node} == {"default", name}
