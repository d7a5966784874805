"""A release of the chart: its values, and the steps by which helm changes its predictors.

The split of traffic is part of the release's values, so that the next `helm upgrade` keeps it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegraph.deploy.rollout import Rollout
from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable, UnknownName

CHART = "imagegraph"  # the chart's name
VERSION = ("graph", "bundle", "image")  # in what a predictor differs from the others
READ_TIMEOUT_S = 30
UPGRADE_TIMEOUT_S = 1800
HOOKS_TIMEOUT_S = 120

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Revision:
    """What an installation or an upgrade has made of a release, or tried to.

    Attributes:
        version: of the chart.
        is_changing: whether it is under way, or its helm was killed.
    """

    number: int
    version: str
    is_changing: bool


@dataclass(frozen=True)
class Release:
    """A release by name and namespace, in the cluster that helm finds.

    Attributes:
        chart: what to upgrade it with: a folder, a file, or an address of a registry.
    """

    name: str
    namespace: str
    helm: str
    chart: str

    @property
    def rollout(self) -> Rollout:
        """What of it there is in the cluster."""
        return Rollout(self.name, self.namespace)

    def values(self) -> dict[str, Any]:
        """Returns the values that were given to it, also by an upgrade that failed.

        Raises:
            ImagegraphError: helm cannot find it.
        """
        found: dict[str, Any] | None = json.loads(self._run("get", "values", self.name, "--output", "json"))
        return found or {}

    def settings(self) -> dict[str, Any]:
        """Returns all values as the chart sees them: what was given over its own."""
        found = json.loads(self._run("get", "values", self.name, "--all", "--output", "json"))
        if "predictors" not in found:
            raise InvalidInput("release", f"one of the chart {CHART}", self.name)
        found["predictors"] = {name: one for name, one in found["predictors"].items() if one is not None}
        return dict(found)

    def newest(self) -> Revision:
        """Returns its newest revision, also one that failed."""
        [found] = json.loads(self._run("history", self.name, "--max", "1", "--output", "json"))
        version = found["chart"].removeprefix(f"{CHART}-")
        return Revision(found["revision"], version, is_changing=found["status"].startswith("pending"))

    def upgrade(self, values: Values, *, wait: bool) -> None:
        """Gives it other values, and no other version of its chart where a registry has several.

        Args:
            wait: until all pods are ready.

        Raises:
            ImagegraphError: helm says why it failed.
            Unavailable: it took too long.
        """
        timeout_s = UPGRADE_TIMEOUT_S if wait else HOOKS_TIMEOUT_S
        options = [
            f"--version={self.newest().version}",
            "--reset-values",
            "--values=-",
            f"--timeout={timeout_s}s",
        ]
        self._run(
            "upgrade", self.name, self.chart, *options, *(["--wait"] if wait else []),
            text=json.dumps(values), timeout_s=timeout_s + 60,
        )  # fmt: skip

    def _run(self, *arguments: str, text: str | None = None, timeout_s: float = READ_TIMEOUT_S) -> str:
        command = [self.helm, *arguments, "--namespace", self.namespace]
        try:
            done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"`helm {arguments[0]}` took longer than {timeout_s:g} s") from error
        if done.returncode:
            where = f"release '{self.name}' in namespace '{self.namespace}'"
            raise ImagegraphError(f"`helm {arguments[0]}` failed for {where}: {done.stderr.strip()}")
        return done.stdout


def promotion(predictors: Values, name: str) -> list[dict[str, Any]]:
    """Returns the predictors step by step.

    First the default becomes the canary's version and takes its traffic; then nobody asks the canary
    any more, and it goes.

    Raises:
        UnknownName: there is no such predictor beside the default.
    """
    canary = beside_default(predictors, name)
    default = predictors["default"]
    version = {key: canary[key] for key in VERSION if key in canary}
    if "image" in canary:
        # What the canary leaves out it has from the default; but of another tag the digest is another.
        kept = {key: value for key, value in default.get("image", {}).items() if key != "digest"}
        version["image"] = {**kept, **canary["image"]}
    return _retire(predictors, name, {**default, **version})


def rollback(predictors: Values, name: str) -> list[dict[str, Any]]:
    """Returns the predictors step by step: the default takes the canary's traffic, then the canary goes.

    Raises:
        UnknownName: there is no such predictor beside the default.
    """
    beside_default(predictors, name)
    return _retire(predictors, name, predictors["default"])


def beside_default(predictors: Values, name: str) -> Values:
    """Returns a predictor that is not the default.

    Raises:
        UnknownName: there is none of that name.
    """
    others = [other for other in predictors if other != "default"]
    if name not in others:
        raise UnknownName("canary", name, others)
    canary: Values = predictors[name]
    return canary


def _retire(predictors: Values, name: str, version: Values) -> list[dict[str, Any]]:
    """Returns the predictors step by step, the default as in `version` with the canary's traffic."""
    canary = predictors[name]
    share = 0 if canary.get("shadow") else canary.get("traffic", 0)
    default = {**version, "traffic": predictors["default"].get("traffic", 0) + share}
    asked_no_more = {**predictors, "default": default, name: {**canary, "traffic": 0}}
    return [asked_no_more, {key: one for key, one in asked_no_more.items() if key != name}]
