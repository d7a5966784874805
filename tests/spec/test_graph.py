import pydantic
import pytest

from imagegraph.spec import graph
from imagegraph.spec.graph import Node, NodeType
from tests import tiny


def node(name: str, type_: str = "MODEL", *children: Node, entry: str = "") -> Node:
    return Node(name=name, type=NodeType(type_), entry=entry or name, children=children)


REIMAGINE = node(
    "rank",
    "OUTPUT_TRANSFORMER",
    node("priors", "COMBINER", node("source", "TRANSFORMER", entry="echo"), node("depth"), node("edges")),
)


def test_a_node_is_a_model_of_its_own_name_unless_told_otherwise():
    assert Node(name="depth") == node("depth", "MODEL")
    assert Node(name="draw", entry="generate").entry == "generate"


def test_nodes_are_walked_as_written_and_executed_as_needed():
    assert [one.name for one in REIMAGINE.walk()] == ["rank", "priors", "source", "depth", "edges"]
    assert [one.name for one in REIMAGINE.execution_order()] == ["source", "depth", "edges", "priors", "rank"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "Depth"}, "String should match pattern"),
        ({"name": "a" * 64}, "String should match pattern"),
        ({"name": "a", "entry": "B"}, "String should match pattern"),
        ({"name": "a", "type": "MODLE"}, "'MODEL', 'TRANSFORMER'"),
        ({"name": "a", "type": "ROUTER"}, "ROUTER 'a' needs children"),
        ({"name": "a", "type": "COMBINER"}, "COMBINER 'a' needs children"),
        ({"name": "a", "children": [{"name": "a"}]}, "duplicate node name 'a'"),
        (
            {"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}, {"name": "c"}]},
            "duplicate node name 'c'",
        ),
        ({"name": "a", "implementation": "SKLEARN_SERVER"}, "implementation"),
    ],
)
def test_a_wrong_tree_says_why(data, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        Node.model_validate(data)


def test_inputs_are_what_is_read_before_it_is_written(tmp_path):
    catalogue = tiny.catalogue(tmp_path)
    root = catalogue.graph("sum").root
    inputs = graph.inputs(root, catalogue.signatures(root, "pocket"))
    assert {name: (one.entry, one.required) for name, one in inputs.items()} == {"number": ("double", True)}
    assert graph.outputs(root, catalogue.signatures(root, "pocket")) == {"doubled", "number"}


def test_only_what_every_way_of_a_router_needs_is_required(tmp_path):
    catalogue = tiny.catalogue(tmp_path)

    def required(*entries: str) -> dict[str, bool]:
        children = [node(f"n{place}", entry=entry) for place, entry in enumerate(entries)]
        root = node("by-size", "ROUTER", *children)
        return {
            name: one.required
            for name, one in graph.inputs(root, catalogue.signatures(root, "pocket")).items()
        }

    assert required("double", "add") == {"number": True, "doubled": False}
    assert required("double", "slow") == {"number": False}
    assert required("slow", "double") == {"number": False}
    root = catalogue.graph("ways").root
    assert graph.outputs(root, catalogue.signatures(root, "pocket")) == set()


def test_the_tree_is_drawn():
    assert graph.tree(REIMAGINE).splitlines() == [
        "rank  OUTPUT_TRANSFORMER",
        "└── priors  COMBINER",
        "    ├── source (echo)  TRANSFORMER",
        "    ├── depth  MODEL",
        "    └── edges  MODEL",
    ]
    deep = node("a", "MODEL", node("b", "MODEL", node("c")), node("d"))
    assert graph.tree(deep).splitlines()[1:] == ["├── b  MODEL", "│   └── c  MODEL", "└── d  MODEL"]


def test_the_flow_is_drawn():
    assert graph.mermaid(REIMAGINE).splitlines() == [
        "flowchart LR",
        *(f"    request --> {name}" for name in ("source", "depth", "edges")),
        *(f"    {name} --> priors" for name in ("source", "depth", "edges")),
        "    priors --> rank",
        "    rank --> answer",
    ]
    router = node("way", "ROUTER", node("left"), node("right"))
    assert graph.mermaid(router).splitlines()[1:] == [
        "    request --> way",
        "    way -- 0  --> left",
        "    way -- 1  --> right",
        "    left --> answer",
        "    right --> answer",
    ]
