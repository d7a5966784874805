"""A graph in KServe's words: the nodes of an InferenceGraph."""

from __future__ import annotations

from typing import Any

from imagegraph.errors import InvalidDocument
from imagegraph.spec.graph import Node, NodeType


def inference_graph(root: Node) -> dict[str, Any]:
    """Renders a graph as the `spec.nodes` of a KServe InferenceGraph.

    A TRANSFORMER or MODEL runs before its children, an OUTPUT_TRANSFORMER and a COMBINER after them;
    children side by side are an Ensemble. Every step is `Hard`: KServe's default feeds a failed
    step's error to the next one.

    Returns:
        Routers by name. A step that asks a node has its name as `node`, for which whoever knows the
        cluster's names puts a `serviceUrl`.

    Raises:
        InvalidDocument: the graph has a ROUTER (KServe's Switch reads JSON paths, it calls no node)
            or children side by side without a COMBINER.
    """
    routers: dict[str, Any] = {}

    def steps(node: Node) -> list[dict[str, Any]]:
        """The steps that stand for `node` in a Sequence."""
        if node.type is NodeType.ROUTER:
            raise InvalidDocument(f"node '{node.name}': KServe has no ROUTER that asks a node")
        if len(node.children) > 1 and node.type is not NodeType.COMBINER:
            raise InvalidDocument(f"node '{node.name}': children side by side need a COMBINER in KServe")
        own = [{"name": node.name, "node": node.name, "dependency": "Hard"}]
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
    return {"root": _sequence(root_steps), **routers}


def _sequence(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The first step reads the request, every other the answer before it."""
    chained = [step if index == 0 else {**step, "data": "$response"} for index, step in enumerate(steps)]
    return {"routerType": "Sequence", "steps": chained}
