"""Manifests: a SeldonDeployment becomes predictors and graphs, and the other way round.

Field names and rules are those of Seldon Core 1.x (`machinelearning.seldon.io/v1`), protocol `v2`.
Everything that the engine does not run is an error with file and line, never skipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field
from pydantic.alias_generators import to_camel

from imagegraph import documents
from imagegraph.documents import Strict
from imagegraph.errors import InvalidDocument, UnknownName
from imagegraph.graph import Name, Node, NodeType, Tree


class _Part(Strict):
    model_config = pydantic.ConfigDict(alias_generator=to_camel, **Strict.model_config)


class Metadata(_Part):
    """Name and labels of the document."""

    name: Name
    namespace: Name | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}


class Container(_Part):
    """The container of the node with the same name; its arguments say what runs there."""

    name: Name
    image: str
    args: tuple[str, ...]

    @property
    def options(self) -> dict[str, str]:
        """The `--key=value` arguments of `serve`.

        Raises:
            ValueError: the arguments are not those of a node of imagegraph.
        """
        if self.args[:1] != ("serve",):
            raise ValueError(f"container '{self.name}': args must begin with 'serve'")
        options = dict(argument.partition("=")[::2] for argument in self.args[1:])
        if sorted(options) != ["--bundle", "--component"] or len(self.args) != 3:
            raise ValueError(
                f"container '{self.name}': expected --component=… and --bundle=…, got {list(self.args[1:])}"
            )
        return options


class PodSpec(_Part):
    """Containers of one pod."""

    containers: Annotated[tuple[Container, ...], Field(min_length=1)]


class ComponentSpec(_Part):
    """One pod of a predictor."""

    spec: PodSpec


class Unit(Tree):
    """A node of the graph (Seldon's PredictiveUnit)."""


class Predictor(_Part):
    """One version of a graph, with its share of the traffic in percent."""

    name: Name
    graph: Unit
    component_specs: tuple[ComponentSpec, ...]
    traffic: Annotated[int, Field(ge=0, le=100)] = 0
    replicas: Annotated[int, Field(ge=1)] = 1

    @pydantic.model_validator(mode="after")
    def _is_runnable(self) -> Self:
        _ = self.root, self.bundle  # resolving them checks names, containers and bundles
        return self

    @property
    def _options(self) -> dict[str, dict[str, str]]:
        containers = [one for pod in self.component_specs for one in pod.spec.containers]
        options = {container.name: container.options for container in containers}
        if len(options) != len(containers):
            raise ValueError("two containers have one name")
        return options

    @property
    def bundle(self) -> str:
        """The bundle of all nodes."""
        bundles = sorted({options["--bundle"] for options in self._options.values()})
        if len(bundles) != 1:
            raise ValueError(f"one predictor runs one bundle, not {bundles}")
        return bundles[0]

    @property
    def root(self) -> Node:
        """The graph, every node with its entry."""
        options = self._options

        def resolve(unit: Unit) -> Node:
            if unit.name not in options:
                raise ValueError(f"node '{unit.name}' has no container; containers: {sorted(options)}")
            children = tuple(resolve(child) for child in unit.children)
            entry = options[unit.name]["--component"]
            return Node(name=unit.name, type=unit.type, entry=entry, children=children)

        root = resolve(self.graph)
        idle = options.keys() - {node.name for node in root.walk()}
        if idle:
            raise ValueError(f"container '{min(idle)}' belongs to no node of the graph")
        return root


class Spec(_Part):
    """What to run."""

    protocol: Literal["v2"]
    predictors: Annotated[tuple[Predictor, ...], Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _traffic_adds_up(self) -> Self:
        names = [predictor.name for predictor in self.predictors]
        if len(set(names)) != len(names):
            raise ValueError(f"two predictors have one name: {names}")
        total = sum(predictor.traffic for predictor in self.predictors)
        # As in Seldon, a single predictor may leave its traffic out.
        if total != 100 and not (len(self.predictors) == 1 and total == 0):
            raise ValueError(f"traffic of the predictors adds up to {total}, not 100")
        return self


class SeldonDeployment(_Part):
    """A whole manifest."""

    api_version: Literal["machinelearning.seldon.io/v1"]
    kind: Literal["SeldonDeployment"]
    metadata: Metadata
    spec: Spec

    @classmethod
    def read(cls, path: Path) -> SeldonDeployment:
        """Reads and checks a manifest.

        Raises:
            InvalidDocument: with file and line.
        """
        return documents.read(path, cls)

    def predictor(self, name: str) -> Predictor:
        """Returns the predictor of that name.

        Raises:
            UnknownName: lists the predictors.
        """
        for predictor in self.spec.predictors:
            if predictor.name == name:
                return predictor
        raise UnknownName("predictor", name, (predictor.name for predictor in self.spec.predictors))

    def choose(self, request_id: str) -> Predictor:
        """Returns the predictor that answers a request: by hash, so a request stays on one side."""
        point = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8]) % 100
        for predictor in self.spec.predictors:
            point -= predictor.traffic
            if point < 0:
                return predictor
        return self.spec.predictors[0]


def seldon_deployment(name: str, root: Node, bundle: str, image: str) -> dict[str, Any]:
    """Renders a graph as a SeldonDeployment: every node its own container in its own pod."""

    def unit(node: Node) -> dict[str, Any]:
        plain: dict[str, Any] = {"name": node.name, "type": str(node.type)}
        if node.children:
            plain["children"] = [unit(child) for child in node.children]
        return plain

    def pod(node: Node) -> dict[str, Any]:
        args = ["serve", f"--component={node.entry}", f"--bundle={bundle}"]
        return {"spec": {"containers": [{"name": node.name, "image": image, "args": args}]}}

    predictor = {
        "name": "default",
        "traffic": 100,
        "graph": unit(root),
        "componentSpecs": [pod(node) for node in root.walk()],
    }
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": name},
        "spec": {"protocol": "v2", "predictors": [predictor]},
    }


def inference_graph(name: str, root: Node, namespace: str = "default") -> dict[str, Any]:
    """Renders a graph as a KServe InferenceGraph over one InferenceService a node.

    A TRANSFORMER or MODEL runs before its children, an OUTPUT_TRANSFORMER and a COMBINER after them;
    children side by side are an Ensemble. Every step is `Hard`: KServe's default feeds a failed
    step's error to the next one.

    Raises:
        InvalidDocument: the graph has a ROUTER (KServe's Switch reads JSON paths, it calls no node)
            or children side by side without a COMBINER.
    """
    routers: dict[str, Any] = {}

    def service(node: Node) -> dict[str, Any]:
        url = f"http://{node.name}-predictor.{namespace}.svc.cluster.local/v2/models/{node.name}/infer"
        return {"name": node.name, "serviceUrl": url, "dependency": "Hard"}

    def steps(node: Node) -> list[dict[str, Any]]:
        """The steps that stand for `node` in a Sequence."""
        if node.type is NodeType.ROUTER:
            raise InvalidDocument(f"node '{node.name}': KServe has no ROUTER that asks a node")
        if len(node.children) > 1 and node.type is not NodeType.COMBINER:
            raise InvalidDocument(f"node '{node.name}': children side by side need a COMBINER in KServe")
        own = [service(node)]
        if node.type is NodeType.COMBINER:
            ensemble = f"{node.name}-children"
            routers[ensemble] = {
                "routerType": "Ensemble",
                "steps": [branch(child) for child in node.children],
            }
            return [{"name": ensemble, "nodeName": ensemble, "dependency": "Hard"}, *own]
        below = [step for child in node.children for step in steps(child)]
        return [*below, *own] if node.type is NodeType.OUTPUT_TRANSFORMER else [*own, *below]

    def branch(node: Node) -> dict[str, Any]:
        """One step of an Ensemble: the node itself, or a Sequence of its own."""
        inner = steps(node)
        if len(inner) == 1:
            return inner[0]
        sequence = f"{node.name}-sequence"
        routers[sequence] = _sequence(inner)
        return {"name": node.name, "nodeName": sequence, "dependency": "Hard"}

    root_steps = steps(root)
    nodes = {"root": _sequence(root_steps), **routers}
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "InferenceGraph",
        "metadata": {"name": name},
        "spec": {"nodes": nodes},
    }


def _sequence(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The first step reads the request, every other the answer before it."""
    chained = [step if index == 0 else {**step, "data": "$response"} for index, step in enumerate(steps)]
    return {"routerType": "Sequence", "steps": chained}
