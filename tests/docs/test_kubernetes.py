"""docs/kubernetes.md is tested: values and settings render, commands exist, links lead somewhere."""

import base64
import itertools
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity
from typer.testing import CliRunner

from imagegraph.cli import app
from imagegraph.spec.catalogue import ROOT
from tests.deploy import chart
from tests.serve.conftest import Server, start

__all__ = ["start"]  # a fixture

PAGE = ROOT / "docs" / "kubernetes.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)
SHELL = "\n".join(BLOCKS).replace("\\\n", " ")
DOCUMENTS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.M | re.S)]
[SCRAPING] = [one for one in DOCUMENTS if "scrape_configs" in one]
VALUES = [one for one in DOCUMENTS if one is not SCRAPING]
SETTINGS = re.findall(r"(?:--set )(\S+)", SHELL) + re.findall(r"`--set (\S+)`", TEXT)


@pytest.mark.parametrize("values", VALUES, ids=lambda one: "-".join(one))
def test_its_values_render(values: dict[str, Any]) -> None:
    assert chart.objects(given=values)


def test_prometheus_takes_its_configuration_and_finds_the_pods_of_the_chart_by_it(tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yaml"
    # Debian's Prometheus knows no Kubernetes.
    path.write_text(
        yaml.safe_dump(SCRAPING).replace("kubernetes_sd_configs:\n  - role: pod", "static_configs: []")
    )
    assert path.read_text().count("static_configs") == 3
    done = subprocess.run([chart.tool("promtool"), "check", "config", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    nodes, studios, executors = SCRAPING["scrape_configs"]
    given = {
        "graph": "upscale",
        "cache": {"fill": "job"},
        "loadTest": {"enabled": True},
        "studio": {"enabled": True, "secret": "studio"},
    }
    for pod in chart.pods(chart.objects(given=given)):
        is_studio = pod.labels.get("app.kubernetes.io/component") == "studio"
        ports = [port["name"] for port in pod.spec["containers"][0].get("ports", [])] or [""]
        labels = {
            f"pod_label_{re.sub(r'[^a-zA-Z0-9_]', '_', key)}": value for key, value in pod.labels.items()
        }
        found = [
            [port for port in ports if keeps(job, {**labels, "pod_container_port_name": port})]
            for job in (nodes, studios, executors)
        ]
        assert found == [
            [] if is_studio or pod.kind == "Job" else ["http"],
            ["metrics"] if is_studio else [],
            [],
        ]
    assert keeps(executors, {"pod_label_seldon_app": "photos-default", "pod_container_port_name": "http"})


def keeps(job: dict[str, Any], target: dict[str, str]) -> bool:
    """Whether a job scrapes a target, by what Kubernetes says of it."""
    rules = [rule for rule in job["relabel_configs"] if rule.get("action") == "keep"]
    values = [target.get(rule["source_labels"][0].removeprefix("__meta_kubernetes_"), "") for rule in rules]
    return all(re.fullmatch(rule["regex"], value) for rule, value in zip(rules, values, strict=True))


def test_its_first_request_is_answered(start: Callable[..., Server], tmp_path: Path) -> None:
    [block] = [block for block in BLOCKS if "curl " in block]
    script = block[block.index("printf ") : block.index("jq ")]
    server = start("--component", "identity")
    script = script.replace("localhost:8080", f"localhost:{server.http_port}").replace(
        "pocket/", f"{ROOT}/pocket/"
    )
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    [output] = json.loads((tmp_path / "answer.json").read_text())["outputs"]
    assert base64.b64decode(output["data"][0]) == (ROOT / "pocket/examples/scene.png").read_bytes()


def test_its_first_picture_is_taken_out_of_the_answer(tmp_path: Path) -> None:
    [script] = [line for line in SHELL.splitlines() if line.startswith("jq ")]
    scene = (ROOT / "pocket/examples/scene.png").read_bytes()
    outputs = [
        {"name": "seeds", "data": [1]},
        {"name": "pictures", "data": [base64.b64encode(scene).decode()]},
    ]
    (tmp_path / "answer.json").write_text(json.dumps({"outputs": outputs}))
    chart.tool("jq")
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    assert (tmp_path / "picture.png").read_bytes() == scene


def test_the_first_install_fits_a_small_machine_and_a_volume_for_one() -> None:
    [install] = [line for line in SHELL.splitlines() if line.startswith("helm install photos charts/")]
    [values] = re.findall(r"--values (\S+)", install)
    [claim] = chart.of_kind("PersistentVolumeClaim", chart.objects("--values", str(ROOT / values)))
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert f"one claim of {claim['spec']['resources']['requests']['storage'].replace('Gi', ' GiB')}" in TEXT


@pytest.mark.parametrize("bundle", ["pocket", "sd15", "sdxl"])
def test_what_the_nodes_of_a_bundle_ask_for_is_what_it_says(bundle: str) -> None:
    pods = [pod for pod in chart.pods(chart.objects("--set", f"bundle={bundle}")) if pod.node]
    requests = [pod.spec["containers"][0]["resources"]["requests"] for pod in pods]
    cpu, memory = (sum(parse_quantity(one[name]) for one in requests) for name in ("cpu", "memory"))
    [row] = [line for line in TEXT.splitlines() if line.startswith(f"| `{bundle}` |")]
    assert f"{cpu} CPU, {memory / 2**30} GiB" in row


def test_the_smallest_main_job_asks_for_what_it_says() -> None:
    def asked(pod: chart.Pod, resource: str) -> int:
        def of(container: dict[str, Any]) -> int:
            value = str(container["resources"]["requests"][resource])
            return int(value.removesuffix("m").removesuffix("Mi"))

        # Init containers run before the others.
        first = [of(one) for one in pod.spec.get("initContainers", [])]
        return max(*first, of(pod.spec["containers"][0])) if first else of(pod.spec["containers"][0])

    pods = list(chart.pods(chart.objects("--values", str(chart.CHART / "ci" / "plain-values.yaml"))))
    cpu, memory = (sum(asked(pod, resource) for pod in pods) for resource in ("cpu", "memory"))
    assert f"asks for {cpu / 1000:g} CPU and {memory / 1024:g} GiB," in TEXT


@pytest.mark.parametrize("setting", SETTINGS)
def test_its_settings_render(setting: str) -> None:
    done = chart.template("--set", setting)
    assert done.returncode == 0, done.stderr


def test_its_commands_of_ours_exist() -> None:
    lines = [shlex.split(line)[1:] for line in SHELL.splitlines() if line.startswith("imagegraph ")]
    assert lines
    for words in lines:
        command = [*itertools.takewhile(lambda word: not word.startswith("-"), words[:2])]
        shown = CliRunner().invoke(app.app, [*command, "--help"], env={"COLUMNS": "200"}).output
        for option in words[len(command) :]:
            assert not option.startswith("-") or option in shown


def test_its_make_targets_exist() -> None:
    for line in {*re.findall(r"^make ([^#\n]*)", SHELL, re.M), *re.findall(r"`make ([^`…]*)`", TEXT)}:
        subprocess.run(["make", "--dry-run", *line.split()], cwd=ROOT, check=True, capture_output=True)


def test_a_cluster_is_started_with_the_images() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "cluster"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.index("tests.cluster.images") < done.stdout.index("tests.cluster.local up")


def test_its_links_and_paths_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (PAGE.parent / target).exists(), target
    for path in re.findall(r"(?:charts|manifests)/[\w./-]*\w", TEXT):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize(
    "value",
    sorted(
        set(re.findall(r"`((?:cache|probes|termination|monitoring|networkPolicy|modelInit)\.\w+)`", TEXT))
    ),
)
def test_the_values_that_it_names_are_the_charts(value: str) -> None:
    assert f"| `{value}` |" in (chart.CHART / "README.md").read_text()
