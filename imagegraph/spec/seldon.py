"""Manifests: a SeldonDeployment becomes predictors and graphs, and the other way round.

Field names and rules are those of Seldon Core 1.x (`machinelearning.seldon.io/v1`), protocol `v2`.
What only the cluster reads (resources, probes, volumes, …) is known by name and left to it; everything
else that the engine does not run is an error with file and line, never skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import Field
from pydantic.alias_generators import to_camel

from imagegraph.errors import UnknownName
from imagegraph.spec import strict_yaml
from imagegraph.spec.graph import Name, Node, NodeType, Tree
from imagegraph.spec.strict_yaml import Strict
from imagegraph.spec.traffic import share


class _Part(Strict):
    model_config = pydantic.ConfigDict(alias_generator=to_camel, **Strict.model_config)

    # Names of the fields that are the cluster's business alone.
    of_cluster: ClassVar[str] = ""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _leave_to_cluster(cls, data: object) -> object:
        if isinstance(data, dict) and cls.of_cluster:
            return {key: value for key, value in data.items() if key not in cls.of_cluster.split()}
        return data


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

    of_cluster = (
        "env envFrom imagePullPolicy lifecycle livenessProbe ports readinessProbe resizePolicy resources "
        "securityContext startupProbe terminationMessagePath terminationMessagePolicy volumeDevices "
        "volumeMounts workingDir"
    )

    def check(self, unit: Unit) -> None:
        """Checks that the arguments are those with which the node's pod does what the graph says.

        Raises:
            ValueError: they are not.
        """
        expected = arguments(unit.name, unit.type, self.option("component"), self.option("bundle"))
        if list(self.args) != expected:
            raise ValueError(f"container '{self.name}': expected args {expected}, got {list(self.args)}")

    def option(self, name: str) -> str:
        """Returns the value of an argument `--name=value`, or … where there is none."""
        start = f"--{name}="
        return next((one.removeprefix(start) for one in self.args if one.startswith(start)), "…")


def arguments(name: str, type_: NodeType, component: str, bundle: str) -> list[str]:
    """Returns the arguments of a node's container."""
    options = [f"--component={component}", f"--bundle={bundle}"]
    if name != component:
        options.append(f"--name={name}")
    if type_ in (NodeType.TRANSFORMER, NodeType.OUTPUT_TRANSFORMER):
        options.append(f"--type={type_}")  # these pass on what they do not read
    return ["serve", *options]


class PodSpec(_Part):
    """Containers of one pod."""

    containers: Annotated[tuple[Container, ...], Field(min_length=1)]

    of_cluster = (
        "affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases "
        "hostNetwork hostUsers hostname imagePullSecrets initContainers nodeName nodeSelector os overhead "
        "preemptionPolicy priority priorityClassName readinessGates resourceClaims runtimeClassName "
        "schedulerName schedulingGates securityContext serviceAccount serviceAccountName setHostnameAsFQDN "
        "shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations "
        "topologySpreadConstraints volumes"
    )


class ComponentSpec(_Part):
    """One pod of a predictor."""

    spec: PodSpec

    of_cluster = "hpaSpec kedaSpec metadata pdbSpec replicas"


Port = Annotated[int, Field(gt=0, lt=65536)]


class Endpoint(_Part):
    """Where a node's pod answers; Seldon's own field, with Seldon's own spellings.

    Attributes:
        service_port: for either protocol, where it has no port of its own; older documents have it.
    """

    service_host: Annotated[str, Field(alias="service_host", min_length=1)]
    service_port: Annotated[Port | None, Field(alias="service_port")] = None
    http_port: Port | None = None
    grpc_port: Port | None = None
    type: Literal["REST", "GRPC"] = "REST"

    @pydantic.model_validator(mode="after")
    def _has_its_port(self) -> Self:
        _ = self.address
        return self

    @property
    def address(self) -> str:
        """Host and port of the node, by the protocol of its type."""
        port = (self.grpc_port if self.type == "GRPC" else self.http_port) or self.service_port
        if port is None:
            own = "grpcPort" if self.type == "GRPC" else "httpPort"
            raise ValueError(f"{self.type} needs {own} or service_port")
        return f"{self.service_host}:{port}"


# Annotations that limit a node's time in milliseconds: Seldon's for all nodes, ours for one.
TIMEOUTS = {"REST": "seldon.io/rest-timeout", "GRPC": "seldon.io/grpc-timeout"}
NODE_TIMEOUT = "timeout-ms.imagegraph"


def _seconds(annotations: Mapping[str, str], key: str) -> float:
    text = annotations[key]
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10**9):
        raise ValueError(f"annotation '{key}': expected milliseconds, got '{text}'")
    return int(text) / 1000


class Unit(Tree):
    """A node of the graph (Seldon's PredictiveUnit)."""

    endpoint: Endpoint | None = None


class Predictor(_Part):
    """One version of a graph, with its share of the traffic in percent."""

    name: Name
    graph: Unit
    component_specs: tuple[ComponentSpec, ...]
    traffic: Annotated[int, Field(ge=0, le=100)] = 0
    shadow: bool = False
    annotations: Mapping[str, str] = {}

    of_cluster = "labels progressDeadlineSeconds replicas ssl svcOrchSpec"

    @pydantic.model_validator(mode="after")
    def _is_runnable(self) -> Self:
        _ = self.root, self.bundle, self.endpoints  # resolving them checks what they are made of
        return self

    @property
    def _containers(self) -> dict[str, Container]:
        listed = [one for pod in self.component_specs for one in pod.spec.containers]
        containers = {container.name: container for container in listed}
        if len(containers) != len(listed):
            raise ValueError("two containers have one name")
        return containers

    @property
    def bundle(self) -> str:
        """The bundle of all nodes."""
        bundles = sorted({container.option("bundle") for container in self._containers.values()})
        if len(bundles) != 1:
            raise ValueError(f"one predictor runs one bundle, not {bundles}")
        return bundles[0]

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """Where the nodes answer that have pods of their own."""
        units = [unit for unit in self.graph.walk() if unit.endpoint]
        found = {unit.name: unit.endpoint for unit in units if unit.endpoint}
        if len({endpoint.type for endpoint in found.values()}) > 1:
            raise ValueError("endpoints of both REST and GRPC; Seldon refuses that, and so do we")
        for unit in units:
            if found[unit.name].type == "GRPC" and unit.type in (NodeType.COMBINER, NodeType.ROUTER):
                raise ValueError(
                    f"node '{unit.name}': V2 over gRPC cannot ask a {unit.type}; without an endpoint, "
                    "the engine does its work itself"
                )
        return found

    def timeouts_s(self, annotations: Mapping[str, str]) -> dict[str, float]:
        """Returns how long each node with a pod may take: its own time, or that of all.

        Args:
            annotations: of the whole deployment; the predictor's own come first.
        """
        known = {**annotations, **self.annotations}
        names = {unit.name for unit in self.graph.walk()}
        own: dict[str, float] = {}
        for key in known:
            prefix, _, node = key.partition("/")
            if prefix == NODE_TIMEOUT:
                if node not in names:
                    raise ValueError(f"annotation '{key}': no node '{node}'; nodes: {sorted(names)}")
                own[node] = _seconds(known, key)
        common = {
            node: _seconds(known, TIMEOUTS[endpoint.type])
            for node, endpoint in self.endpoints.items()
            if TIMEOUTS[endpoint.type] in known
        }
        return common | own

    @property
    def root(self) -> Node:
        """The graph, every node with its entry."""
        containers = self._containers

        def resolve(unit: Unit) -> Node:
            if unit.name not in containers:
                raise ValueError(f"node '{unit.name}' has no container; containers: {sorted(containers)}")
            container = containers[unit.name]
            container.check(unit)
            children = tuple(resolve(child) for child in unit.children)
            return Node(
                name=unit.name, type=unit.type, entry=container.option("component"), children=children
            )

        root = resolve(self.graph)
        idle = containers.keys() - {node.name for node in root.walk()}
        if idle:
            raise ValueError(f"container '{min(idle)}' belongs to no node of the graph")
        return root


class Spec(_Part):
    """What to run."""

    protocol: Literal["v2"]
    annotations: Mapping[str, str] = {}
    predictors: Annotated[tuple[Predictor, ...], Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _traffic_adds_up(self) -> Self:
        names = [predictor.name for predictor in self.predictors]
        if len(set(names)) != len(names):
            raise ValueError(f"two predictors have one name: {names}")
        answering = [predictor for predictor in self.predictors if not predictor.shadow]
        if not answering or len(self.predictors) - len(answering) > 1:
            raise ValueError("at most one predictor can be a shadow, and only beside others")
        total = sum(predictor.traffic for predictor in answering)
        # As in Seldon, a single predictor may leave its traffic out.
        if total != 100 and not (len(answering) == 1 and total == 0):
            raise ValueError(f"traffic of the predictors adds up to {total}, not 100")
        return self

    @pydantic.model_validator(mode="after")
    def _timeouts_are_milliseconds(self) -> Self:
        for predictor in self.predictors:
            predictor.timeouts_s(self.annotations)
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
        return strict_yaml.read(path, cls)

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
        """Returns the predictor that answers a request."""
        answering = [predictor for predictor in self.spec.predictors if not predictor.shadow]
        return answering[share(request_id, [predictor.traffic for predictor in answering])]


def seldon_deployment(name: str, root: Node, bundle: str, image: str) -> dict[str, Any]:
    """Renders a graph as a SeldonDeployment: every node its own container in its own pod."""

    def unit(node: Node) -> dict[str, Any]:
        plain: dict[str, Any] = {"name": node.name, "type": str(node.type)}
        if node.children:
            plain["children"] = [unit(child) for child in node.children]
        return plain

    def pod(node: Node) -> dict[str, Any]:
        args = arguments(node.name, node.type, node.entry, bundle)
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
