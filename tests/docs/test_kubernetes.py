"""docs/kubernetes.md is tested: values and settings render, commands exist, links lead somewhere."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imagegraph import cli
from imagegraph.catalogue import ROOT
from tests.deploy import chart

PAGE = ROOT / "docs" / "kubernetes.md"
TEXT = PAGE.read_text()
SHELL = "\n".join(re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)).replace("\\\n", " ")
SETTINGS = re.findall(r"(?:--set )(\S+)", SHELL) + re.findall(r"`--set (\S+)`", TEXT)


def test_its_values_render(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.M | re.S)
    values = tmp_path / "values.yaml"
    values.write_text(block)
    done = chart.template("--values", str(values))
    assert done.returncode == 0, done.stderr


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
    assert f"asks for {cpu / 1000:g} CPU and {memory / 1024:g} GiB" in TEXT


@pytest.mark.parametrize("setting", SETTINGS)
def test_its_settings_render(setting: str) -> None:
    done = chart.template("--set", setting)
    assert done.returncode == 0, done.stderr


def test_its_commands_of_ours_exist() -> None:
    lines = [shlex.split(line)[1:] for line in SHELL.splitlines() if line.startswith("imagegraph ")]
    assert lines
    for group, command, *options in lines:
        shown = CliRunner().invoke(cli.app, [group, command, "--help"], env={"COLUMNS": "200"}).output
        for option in options:
            assert not option.startswith("-") or option in shown


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
