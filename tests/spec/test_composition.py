"""Catalogues of several documents, and entries that are like others."""

import sys

import pytest

from imagegraph.errors import InvalidDocument
from imagegraph.spec.catalogue import ROOT, Catalogue
from tests import tiny

FIRST = """base: none
priors: [double]
entries:
  double:
    component: tests.tiny:Double
    summary: Doubles
    smoke: {number: 1}
    bundles:
      pocket: {weights: {model: {path: here}}, resources: {cpu: 3, memory_gib: 2}}
      sd15: {weights: {model: {path: there}}}
  add:
    component: tests.tiny:Add
    summary: Adds
    bundles: {pocket: {settings: {addend: 1}, defaults: {number: 1, doubled: 2}}}
  reading:
    component: tests.tiny:Reading
    summary: Says what was read
    uses: priors
    bundles: {pocket: {}, sd15: {}}
graphs:
  each: {summary: Each prior, root: {name: reading, type: OUTPUT_TRANSFORMER, children: [priors]}}
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads documents, each from a folder of its own."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def read(*texts: str) -> Catalogue:
        paths = [tmp_path / str(place) / "own.yaml" for place in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return Catalogue.read(paths)

    return read


def test_an_entry_that_is_like_another_changes_of_it_what_it_says(read):
    text = """entries:
  more:
    like: add
    summary: Adds more
    bundles: {pocket: {settings: {addend: 5}, defaults: {number: 7}}}
  most: {like: more, summary: Adds most, bundles: {pocket: {defaults: {doubled: null}}}}
"""
    catalogue = read(FIRST, text)
    add, more, most = (catalogue.entry(name) for name in ("add", "more", "most"))
    assert add.variant("pocket").settings == {"addend": 1}
    assert more.kind is most.kind is tiny.Add
    assert (more.summary, most.summary) == ("Adds more", "Adds most")
    assert more.variant("pocket").settings == most.variant("pocket").settings == {"addend": 5}
    assert more.variant("pocket").defaults == {"number": 7, "doubled": 2}
    assert most.variant("pocket").defaults == {"number": 7}


def test_weights_and_bundles_are_changed_one_by_one_and_null_leaves_one_out(read):
    text = """entries:
  other:
    like: double
    bundles: {pocket: {weights: {model: {path: mine}}, resources: {cpu: 1}}, sd15: null, sdxl: {}}
"""
    other = read(FIRST, text).entry("other")
    assert list(other.bundles) == ["pocket", "sdxl"]
    assert str(other.variant("pocket").weights["model"]).endswith("/1/mine")
    assert other.variant("pocket").resources.cpu == 1
    assert other.variant("pocket").resources.memory_gib == 2
    assert other.smoke == {"number": 1}


def test_an_added_document_changes_an_entry_that_says_it_is_like_itself(read):
    text = "entries: {add: {like: add, bundles: {pocket: {settings: {addend: 9}}}}, more: {like: add}}\n"
    later = "entries: {add: {like: add, bundles: {pocket: {defaults: {number: 8}}}}}\n"
    catalogue = read(FIRST, text, later)
    for name in ("add", "more"):
        variant = catalogue.entry(name).variant("pocket")
        assert (variant.settings, variant.defaults) == ({"addend": 9}, {"number": 8, "doubled": 2})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("entries:\n  one: {like: duoble}\n", r"1/own.yaml:2: .*like: unknown entry 'duoble'. .*'double'"),
        ("entries:\n  one: {like: [x]}\n", "1/own.yaml:2: .*like: unknown entry"),
        ("entries:\n  one:\n    like: one\n", "1/own.yaml:3: .*a circle: one is like one"),
        (
            "entries:\n  one: {like: two}\n  two: {like: one}\n",
            "1/own.yaml:3: .*a circle: one is like two is like one",
        ),
        (
            "entries:\n  add: {component: tests.tiny:Add, summary: s, bundles: {pocket: {}}}\n",
            "1/own.yaml:2: .*0/own.yaml has an entry of that name: .*`like: add` to change it",
        ),
        (
            "graphs:\n  each: {summary: s, root: {name: add}}\n",
            "1/own.yaml:2: graphs.each: .*0/own.yaml has a graph of that name",
        ),
        ("priors:\n  - [x]\n", r"1/own.yaml:2: priors.0: expected a name, got \['x'\]"),
        ("priors: [double]\n", "1/own.yaml:1: priors.0: double is a prior already"),
        (
            "entries:\n  one:\n    like: add\n    colour: red\n",
            "1/own.yaml:4: entries.one.colour: unknown key",
        ),
        ("colour: red\n", "1/own.yaml:1: colour: unknown key"),
        ("base: mine\n", "1/own.yaml:1: base: expected none, or no such key, got 'mine'"),
        (
            "entries:\n  one:\n    like: add\n    bundles: {pocket: {settings: 1}}\n",
            "1/own.yaml:4: .*settings",
        ),
        ("- one\n", "1/own.yaml:1: expected entries and graphs"),
    ],
)
def test_what_cannot_be_added_is_said_with_file_and_line(read, text, message):
    with pytest.raises(InvalidDocument, match=message):
        read(FIRST, text)


def test_an_entry_uses_priors_and_others_beside_them(read):
    text = """entries:
  twice: {like: double, bundles: {sd15: null}}
  reading: {like: reading, uses: [priors, twice]}
"""
    catalogue = read(FIRST, text)
    assert dict(catalogue.entry("reading").uses) == {"double": "double", "twice": "twice"}
    assert catalogue.with_uses(["reading"], "sd15") == ["double", "reading"], "twice is not there"
    with pytest.raises(InvalidDocument, match=r"1/own.yaml:2: .*uses: unknown entry 'tripled'"):
        read(FIRST, "entries:\n  reading: {like: reading, uses: [priors, tripled]}\n")


def test_added_priors_are_read_where_all_are(read):
    text = """priors: [twice]
entries: {twice: {like: double, bundles: {sd15: null}}}
"""
    catalogue = read(FIRST, text)
    assert [child.name for child in catalogue.graph("each").root.children] == ["double", "twice"]
    assert catalogue.with_uses(["reading"], "pocket") == ["double", "twice", "reading"]
    assert catalogue.with_uses(["reading"], "sd15") == ["double", "reading"], (
        "a prior is used where it exists"
    )
    assert catalogue.bundles(catalogue.graph("each").root) == ["pocket"]


def test_components_and_files_are_found_beside_the_document(read, tmp_path):
    package = tmp_path / "0" / "found_beside"
    package.mkdir(parents=True)
    (package / "models.py").write_text("from tests.tiny import Double\n\n\nclass Own(Double):\n    pass\n")
    (tmp_path / "0" / "mine.png").write_bytes((ROOT / "pocket/examples/scene.png").read_bytes())
    catalogue = read("""entries:
  own:
    component: found_beside.models:Own
    summary: Doubles
    smoke: {number: 1}
    bundles: {pocket: {weights: {model: {path: weights}}}}
  paint: {component: tests.tiny:Paint, summary: Paints, smoke: {image: mine.png}, bundles: {pocket: {}}}
""")
    assert catalogue.entry("own").kind.__name__ == "Own"
    assert catalogue.entry("own").variant("pocket").weights["model"].path == str(tmp_path / "0" / "weights")
    values = catalogue.entry("paint").smoke_values(catalogue.signature("paint", "pocket"))
    assert values["image"].size == (128, 128)
    assert {"generate", "own"} <= catalogue.entries.keys(), "added to the project's"
    assert "reimagine" in catalogue.graphs


@pytest.mark.parametrize("module", ["namesake", "queue"])
def test_a_module_whose_name_another_one_has_is_refused_and_never_taken_for_it(read, tmp_path, module):
    for place in "01":
        (tmp_path / place).mkdir()
        (tmp_path / place / f"{module}.py").write_text("from tests.tiny import Double as Own\n")
    text = "entries:\n  NAME:\n    component: MODULE:Own\n    summary: s\n    bundles: {pocket: {}}\n"
    one, two = (text.replace("NAME", name).replace("MODULE", module) for name in ("one", "two"))
    with pytest.raises(InvalidDocument, match=r"own.yaml:3: .*component: .*has its name: call it otherwise"):
        read(one, two)


def test_the_environment_lists_documents_as_a_path_does(tmp_path, monkeypatch):
    paths = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    paths[0].write_text(FIRST)
    paths[1].write_text("entries: {more: {like: add}}\n")
    monkeypatch.setenv("IMAGEGRAPH_CATALOGUE", ":".join(map(str, paths)))
    assert sorted(Catalogue.read().entries) == ["add", "double", "more", "reading"]
    third = tmp_path / "three.yaml"
    third.write_text("entries: {most: {like: more}}\n")
    assert "most" in Catalogue.read([third]).entries
