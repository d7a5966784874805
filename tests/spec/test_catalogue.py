import importlib
import sys

import pytest

from imagegraph.errors import ImagegraphError, InvalidDocument, MissingWeights, UnknownName
from imagegraph.spec.catalogue import Catalogue, entry_names
from imagegraph.spec.graph import Node, NodeType
from tests import tiny

COMMIT = "0123456789" * 4
HEAD = "graphs: {}\nentries:\n  one:\n    component: tests.tiny:Double\n    summary: One\n"

OPEN = """
priors: [double, add]
entries:
  double: {component: tests.tiny:Double, summary: Doubles, bundles: {pocket: {}}}
  add: {component: tests.tiny:Add, summary: Adds, bundles: {pocket: {settings: {addend: 1}}}}
  steered:
    component: tests.tiny:Steered
    summary: Says what steers it
    bundles:
      pocket: {weights: {left: {path: tests, kind: control}, right: {path: tests, kind: control}}}
      sd15: {weights: {left: {path: tests, kind: control}}}
  reading: {component: tests.tiny:Reading, summary: Says what was read, uses: priors, bundles: {pocket: {}}}
graphs:
  all:
    summary: All priors
    root: {name: unite, entry: double, type: TRANSFORMER, children: [{name: first, entry: add}]}
  each:
    summary: Each prior
    root: {name: steered, type: TRANSFORMER, children: [priors]}
"""


def entry(lines: str) -> str:
    return HEAD + "".join(f"    {line}\n" for line in lines.splitlines())


def with_weights(source: str) -> str:
    return entry(f"bundles:\n  pocket:\n    weights:\n      model: {source}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (entry("bundles: {pocket: {}}\ncolour: red"), ":7: entries.one.colour: unknown key"),
        (entry("bundles: {pocket: {}}\nbundles: {}"), ":7: key 'bundles' stands twice"),
        (entry("bundles: {}"), ":6: entries.one.bundles: .*at least 1 item"),
        (HEAD, ":3: entries.one.bundles: Field required"),
        (entry("pool: tpu\nbundles: {pocket: {}}"), ":6: entries.one.pool: .*'cpu' or 'gpu', got 'tpu'"),
        (entry("bundles: {Pocket: {}}"), ":6: .*String should match pattern"),
        (entry("bundles: {pocket: {resources: {cpu: 0}}}"), ":6: .*cpu: .*greater than 0, got 0"),
        (entry("uses: {twice: two}\nbundles: {pocket: {}}"), ":6: entries.one.uses: unknown entry 'two'"),
        (entry("uses: {twice: one}\nbundles: {pocket: {}}"), ":6: entries.one.uses: 'one' uses itself"),
        (
            entry("uses: {twice: two}\nbundles: {pocket: {}, sd15: {}}")
            + "  two: {component: tests.tiny:Double, summary: Two, bundles: {pocket: {}}}\n",
            ":6: entries.one.uses: 'two' does not exist in bundle 'sd15'",
        ),
        (with_weights("{repo: a/b}"), ":9: .*'a/b' is not pinned: needs 'revision'"),
        (with_weights("{repo: a/b, revision: main}"), ":9: .*revision: .*match pattern"),
        (with_weights("{repo: a/b, revision: G}"), ":9: .*revision"),
        (
            with_weights(f"{{path: pocket, revision: {COMMIT}}}"),
            ":9: .*'revision' belongs to 'repo' and 'url'",
        ),
        (with_weights("{url: s3://bucket/net}"), ":9: .*is not pinned: needs .* `model-init hash`"),
        (with_weights("{path: pocket, files: [a.pt]}"), ":9: .*'files' belongs to 'repo'"),
        (with_weights("{}"), ":9: .*needs one of 'repo', 'path' and 'url'"),
        (with_weights("{path: pocket, repo: a/b}"), ":9: .*needs one of 'repo', 'path' and 'url'"),
        (
            entry(f"bundles:\n  pocket:\n    weights:\n      models: {{repo: a/b, revision: {COMMIT}}}"),
            r":3: entries.one: unknown role \(bundle 'pocket'\) 'models'. .*'model'",
        ),
        (
            with_weights(f"{{repo: a/b, revision: {COMMIT}, kind: control}}"),
            ":3: entries.one: bundle 'pocket', role 'model': Double takes no control",
        ),
        (
            with_weights(f"{{repo: a/b, revision: {COMMIT}, kind: decoy}}"),
            ":9: .*kind: .*'adapter', got 'decoy'",
        ),
        (entry("bundles: {pocket: {}}") + "priors: [two]\n", ":7: priors.0: unknown prior 'two'"),
        (
            entry("bundles: {pocket: {}}").replace("tests.tiny:Double", "tests.tiny:Duoble"),
            ":3: entries.one: 'tests.tiny:Duoble' cannot be imported",
        ),
        (
            entry("bundles: {pocket: {}}").replace("tests.tiny:Double", "imagegraph.component:Component"),
            ":3: entries.one: .*:Component' has no ports: Component has no method 'predict'",
        ),
        (
            entry("bundles:\n  pocket:\n    defaults:\n      numbr: 3"),
            ":9: entries.one.bundles.pocket.defaults.numbr: unknown port 'numbr'. Did you mean 'number'",
        ),
        (
            entry(
                "bundles:\n  pocket:\n    weights:\n      only: {path: tests, kind: control}",
            ).replace("tests.tiny:Double", "tests.tiny:Steered"),
            ":9: entries.one.bundles.pocket.weights.only: Steered has a port 'only' of its own",
        ),
        (
            entry("bundles: {pocket: {settings: {size: 1}}}").replace(
                "tests.tiny:Double", "components.edges:Edges"
            )
            + "priors: [one]\n",
            ":7: priors.0: expected to answer 'one', its own name, got edges",
        ),
        (
            OPEN.replace("left: {path: tests", "doubld: {path: tests", 1),
            ":10: entries.steered.*weights.doubld: no entry answers 'doubld'. Did you mean 'doubled'",
        ),
        (
            OPEN.replace("steered}}", "").replace(
                "right: {path: tests, kind: control}", "right: {path: tests}"
            ),
            ":6: entries.steered: unknown role .*'right'.* Others say `kind: control`",
        ),
        (
            entry("bundles:\n  pocket:\n    settings:\n      sise: 1"),
            ":9: entries.one.bundles.pocket.settings.sise: unknown setting 'sise'",
        ),
        (
            entry("bundles:\n  pocket: {settings: {}}").replace("tests.tiny:Double", "tests.tiny:Add"),
            ":7: entries.one.bundles.pocket.settings: expected 'addend', which Add needs",
        ),
        (
            entry("smoke: {numbr: 1}\nbundles: {pocket: {}}"),
            ":6: entries.one.smoke.numbr: unknown port 'numbr'",
        ),
        (entry("bundles: &b {pocket: {settings: {x: *b}}}"), ":6: a cycle"),
        (
            entry("bundles: {pocket: {}}").replace(
                "graphs: {}", "graphs: {g: {summary: G, root: {name: n, entry: ones}}}"
            ),
            r":1: graphs.g: unknown entry \(node 'n'\) 'ones'. *Did you mean 'one'",
        ),
        (
            entry("bundles: {pocket: {}}").replace(
                "graphs: {}", "graphs: {g: {summary: G, root: {name: one, children: [{name: one}]}}}"
            ),
            ":1: .*duplicate node name 'one'",
        ),
    ],
)
def test_a_wrong_catalogue_names_file_and_line(tmp_path, text, message):
    with pytest.raises(InvalidDocument, match=rf"catalogue\.yaml.*{message}"):
        tiny.catalogue(tmp_path, text)


def test_weights_that_are_not_here_say_how_to_pull_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    one = tiny.catalogue(tmp_path, with_weights(f"{{repo: a/b, revision: {COMMIT}}}")).entry("one")
    with pytest.raises(MissingWeights, match="a/b are not .* pull them: model-init pull --bundle pocket"):
        one.weights("pocket", "cpu")


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ("nowhere:Thing", "'nowhere:Thing' cannot be imported"),
        ("tests.tiny:Nothing", "'tests.tiny:Nothing' cannot be imported"),
        ("pathlib:Path", "'pathlib:Path' is not a Component"),
    ],
)
def test_a_component_that_does_not_exist_is_named(tmp_path, component, message):
    text = entry("bundles: {pocket: {}}").replace("tests.tiny:Double", component)
    with pytest.raises(InvalidDocument, match=message):
        _ = tiny.catalogue(tmp_path, text).entry("one").kind


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        (
            "class Thing(Component):\n    def predict(self, number): ...",
            "predict: parameter 'number' has no annot",
        ),
        (
            "class Thing(Component):\n    def predict(self, number: 'Nix') -> Out: ...",
            "name 'Nix' is not defined",
        ),
        (
            "class Thing(Batched):\n    def predict_batch(self, jobs, progress): ...",
            "Thing has no method 'prepare'",
        ),
        (
            "class Thing(Component):\n    def predict(self, **maps: int) -> Out: ...",
            "takes open ports: its `opens` must say what names them",
        ),
        (
            "class Thing(Reader):\n    def predict(self, number: int) -> Out: ...",
            "has no fidelity",
        ),
    ],
)
def test_what_is_wrong_with_a_module_of_ones_own_is_said_where_it_is_named(
    tmp_path, monkeypatch, code, message
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own_thing", raising=False)
    head = "from typing import TypedDict\nfrom imagegraph.component import Batched, Component, Reader\n"
    head += "class Out(TypedDict):\n    doubled: int\n"
    (tmp_path / "own_thing.py").write_text(head + code)
    importlib.invalidate_caches()
    text = entry("bundles: {pocket: {}}").replace("tests.tiny:Double", "own_thing:Thing")
    with pytest.raises(
        InvalidDocument, match=rf"catalogue\.yaml:3: entries.one: 'own_thing:Thing' .*{message}"
    ):
        tiny.catalogue(tmp_path, text)


def test_names_are_found_or_guessed(tmp_path):
    catalogue = tiny.catalogue(tmp_path)
    assert catalogue.graph("double").root == Node(name="double")
    assert catalogue.graph("sum").root.name == "add"
    for missing in (
        lambda: catalogue.entry("duoble"),
        lambda: catalogue.graph("duoble"),
        lambda: catalogue.entry("double").variant("sd16"),
    ):
        with pytest.raises(UnknownName, match="Did you mean '(double|sd15)'"):
            missing()


def test_a_graph_exists_in_the_bundles_that_all_its_entries_have(tmp_path):
    catalogue = tiny.catalogue(tmp_path)
    assert catalogue.bundles(Node(name="double")) == ["pocket", "sd15"]
    assert catalogue.bundles(catalogue.graph("sum").root) == ["pocket"]
    assert entry_names(catalogue.graph("ways").root) == ["by-size", "add", "double"]


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (Node(name="unite"), "'unite' is a MODEL, but 'unite' is a Priors, Combiner"),
        (Node(name="by-size"), "'by-size' is a MODEL, but 'by-size' is a BySize, Router"),
        (Node(name="double", type=NodeType.ROUTER, children=(Node(name="add"),)), "Double, no Router"),
        (Node(name="double", type=NodeType.COMBINER, children=(Node(name="add"),)), "Double, no Combiner"),
    ],
)
def test_a_node_must_be_able_to_do_what_its_type_says(tmp_path, root, message):
    with pytest.raises(InvalidDocument, match=message):
        tiny.catalogue(tmp_path).signatures(root, "pocket")


def test_a_process_loads_what_its_nodes_use_wherever_the_graph_has_it_and_before_them(tmp_path):
    catalogue = tiny.catalogue(tmp_path)
    both = Node(name="user", children=(Node(name="twice", entry="double"),))
    assert catalogue.needed(both) == ["double", "user"]
    assert catalogue.needed(both, elsewhere=["twice"]) == ["double", "user"]
    assert catalogue.needed(both, elsewhere=["user"]) == ["double"]
    assert catalogue.needed(Node(name="user")) == ["user"]
    assert catalogue.with_uses(["user", "add"]) == ["double", "user", "add"]


def test_settings_build_the_component_and_uses_come_with_them(tmp_path):
    catalogue = tiny.catalogue(tmp_path)
    assert catalogue.entry("add").build("pocket", {}).addend == 10
    double = catalogue.entry("double").build("pocket", {})
    assert catalogue.entry("user").build("pocket", {"twice": double}).uses == {"twice": double}


def test_a_bundle_may_have_a_class_of_its_own(tmp_path):
    text = entry("bundles: {pocket: {}, sd15: {component: tests.tiny:Add, settings: {addend: 3}}}")
    one = tiny.catalogue(tmp_path, text).entry("one")
    assert one.kind is one.kind_in("pocket") is tiny.Double
    assert one.kind_in("sd15") is tiny.Add
    assert one.build("sd15", {}).addend == 3


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    try:
        return Catalogue.read()
    except ImagegraphError as error:
        pytest.skip(str(error))


def test_the_shipped_catalogue_is_right_in_every_default(shipped):
    for name, one in shipped.entries.items():
        for bundle, variant in one.bundles.items():
            for port, value in variant.defaults.items():
                shipped.signature(name, bundle).port(port).read(value)


def test_the_shipped_graphs_fit_their_types(shipped):
    for item in shipped.graphs.values():
        for bundle in shipped.bundles(item.root):
            shipped.signatures(item.root, bundle)


def test_open_ports_have_the_names_of_the_roles_that_the_bundle_has(tmp_path):
    catalogue = tiny.catalogue(tmp_path, OPEN)
    signature = catalogue.signature("steered", "pocket")
    assert list(signature.inputs) == ["only", "left", "right"]
    assert signature.bind({"left": 1}) == {"only": None, "left": 1}
    assert list(catalogue.signature("steered", "sd15").inputs) == ["only", "left"]
    with pytest.raises(ImagegraphError, match="left: expected a valid integer"):
        signature.bind({"left": "x"})


def test_a_text_that_names_an_open_port_has_their_names_for_choices(tmp_path):
    catalogue = tiny.catalogue(tmp_path, OPEN)
    port = catalogue.signature("steered", "pocket").port("only")
    assert port.read(["left", "all"]) == ["left", "all"]
    with pytest.raises(ImagegraphError, match="only.*'left', 'right' or 'all'"):
        port.read(["top"])
    with pytest.raises(ImagegraphError, match="only.*'left' or 'all'"):
        catalogue.signature("steered", "sd15").port("only").read(["right"])


def test_open_ports_of_who_uses_others_are_what_those_answer(tmp_path):
    catalogue = tiny.catalogue(tmp_path, OPEN)
    assert dict(catalogue.entry("reading").uses) == {"double": "double", "add": "add"}
    inputs = catalogue.signature("reading", "pocket").inputs
    assert list(inputs) == ["doubled", "number"]
    assert inputs["doubled"].datatype == "INT64"


def test_the_word_priors_among_children_is_a_node_for_each(tmp_path):
    root = tiny.catalogue(tmp_path, OPEN).graph("each").root
    assert [child.name for child in root.children] == ["double", "add"]
