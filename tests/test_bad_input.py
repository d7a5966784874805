"""Whatever people send is handled rightly, or refused with field, expectation and value: one table."""

import asyncio
import io
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image as Pillow

from imagegraph.cli import app
from imagegraph.errors import ImagegraphError
from imagegraph.image import Image
from imagegraph.message import Tensor
from imagegraph.run.embedded import Embedded
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.seldon import SeldonDeployment

RED = (255, 0, 0)
LONG = "x" * 10_000
EMOJI = "👩‍🚀 rides a 🐎"


@dataclass
class Refused:
    """The status, and a part of the sentence."""

    status: int
    sentence: str


@dataclass
class Works:
    """How the photo is seen (size, colour of the first pixel), or which value a port has."""

    expected: Any


Row = tuple[str, Callable[[], Any], Refused | Works]


# Ways to send.


def embedded(name: str, bundle: str = "pocket") -> Embedded:
    catalogue = Catalogue.read()
    return Embedded(catalogue.graph(name).root, bundle, catalogue, "cpu")


def photo(data: bytes) -> Callable[[], Any]:
    """Runs a real component on it; answers its size and first pixel as every component sees them."""

    def send() -> Any:
        with embedded("edges") as graph:
            answer = asyncio.run(graph.run({"image": data}))
            assert answer.values["edges"].rgb().size[0] >= 128
            seen = graph.parameters({"image": data})["image"].rgb()
        return seen.size, tuple(round(one / 8) * 8 for one in seen.getpixel((2, 2)))

    return send


def ask(name: str = "draw", **values: Any) -> Callable[[], Any]:
    """What a graph makes of a request, before it asks any node; answers the values as read."""

    def send() -> Any:
        with embedded(name) as graph:
            read = graph.parameters({"prompt": "a red sphere", **values})
        return next((read[port] for port in values), None)

    return send


def run(name: str, bundle: str = "pocket", **values: Any) -> Callable[[], Any]:
    def send() -> Any:
        with embedded(name, bundle) as graph:
            return asyncio.run(graph.run(values))

    return send


def command(*arguments: str) -> Callable[[], Any]:
    """The command line; its exit code must tell whose fault it is."""

    def send() -> None:
        with pytest.raises(SystemExit) as left:
            app.command_line(arguments)
        assert isinstance(left.value.__context__, ImagegraphError)
        assert left.value.code == (2 if left.value.__context__.status < 499 else 1)
        raise left.value.__context__

    return send


def manifest(old: str, new: str) -> Callable[[], Any]:
    text = """\
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {name: draw}
spec:
  protocol: v2
  predictors:
    - name: default
      graph:
        name: rank
        type: OUTPUT_TRANSFORMER
        children:
          - name: generate
      componentSpecs:
        - spec:
            containers:
              - name: rank
                image: i
                args: [serve, --component=rank, --bundle=pocket, --type=OUTPUT_TRANSFORMER]
              - {name: generate, image: i, args: [serve, --component=generate, --bundle=pocket]}
"""
    assert old in text

    def send() -> Any:
        path = Path("manifest.yaml")
        path.write_text(text.replace(old, new, 1))
        with Embedded.of(SeldonDeployment.read(path).choose("7"), Catalogue.read(), "cpu"):
            pass

    return send


def catalogue(text: str) -> Callable[[], Any]:
    return lambda: strict_yaml.parse(text, Catalogue, "catalogue.yaml")


# Things to send.


def encoded(picture: Pillow.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(mode: str, colour: Any, size: tuple[int, int] = (64, 32)) -> Pillow.Image:
    return Pillow.new(mode, size, colour)


def rotated() -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return encoded(plain("RGB", RED), "JPEG", exif=exif)


def bomb(side: int) -> bytes:
    """A PNG of a hundred bytes that says it has side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def animated(kind: str) -> bytes:
    return encoded(plain("RGB", RED), kind, save_all=True, append_images=[plain("RGB", "blue")])


JPEG = encoded(plain("RGB", RED), "JPEG")
SEEN = Works(((64, 32), (256, 0, 0)))
WHITE = Works(((64, 32), (256, 256, 256)))
NO_PICTURE = Refused(400, "image: expected a JPEG, PNG or WebP picture, got ")
CUT = Refused(400, "image: expected a whole picture, got ")

TABLE: list[Row] = [
    # pictures
    ("a text for a picture", photo(b"\x00I am no picture"), NO_PICTURE),
    ("a PDF", photo(b"%PDF-1.7"), NO_PICTURE),
    ("a GIF", photo(encoded(plain("P", 0), "GIF")), NO_PICTURE),
    ("an empty picture", photo(b""), NO_PICTURE),
    ("a truncated JPEG", photo(JPEG[: len(JPEG) // 2]), CUT),
    ("a truncated PNG", photo(encoded(plain("RGB", RED))[:60]), CUT),
    (
        "1 x 1",
        photo(encoded(plain("RGB", RED, (1, 1)))),
        Refused(400, "sides of at least 16 pixels, got '1x1'"),
    ),
    (
        "a bomb of 20 000 x 20 000",
        photo(bomb(20_000)),
        Refused(413, "image: expected at most 64000000 pixels"),
    ),
    ("a bomb of 9 000 x 9 000", photo(bomb(9_000)), Refused(413, "64000000 pixels, got '9000x9000'")),
    (
        "an animated PNG",
        photo(animated("PNG")),
        Refused(400, "a still picture, got 'an animation of 2 frames'"),
    ),
    ("an animated WebP", photo(animated("WEBP")), Refused(400, "a still picture, got 'an animation of 2 fr")),
    ("a phone's JPEG of two", photo(animated("MPO")), SEEN),
    ("CMYK", photo(encoded(plain("CMYK", (0, 255, 255, 0)), "JPEG")), SEEN),
    ("grey", photo(encoded(plain("L", 128))), Works(((64, 32), (128, 128, 128)))),
    (
        "16-bit grey",
        photo(encoded(Pillow.fromarray(np.full((32, 64), 0x8080, np.uint16)))),
        Works(((64, 32), (128, 128, 128))),
    ),
    ("alpha", photo(encoded(plain("RGBA", (*RED, 0)))), WHITE),
    ("a transparent colour", photo(encoded(plain("RGB", RED), transparency=RED)), WHITE),
    ("a palette", photo(encoded(plain("RGB", RED).quantize(8))), SEEN),
    ("EXIF-rotated", photo(rotated()), Works(((32, 64), (256, 0, 0)))),
    ("broken EXIF", photo(encoded(plain("RGB", RED), "JPEG", exif=b"Exif\0\0?")), SEEN),
    ("4:1", photo(encoded(plain("RGB", RED, (128, 32)))), Works(((128, 32), (256, 0, 0)))),
    (
        "10:1",
        photo(encoded(plain("RGB", RED, (320, 32)))),
        Refused(400, "aspect ratio within 4:1, got '320x32'"),
    ),
    (
        "a picture that is no base64",
        ask("create", image="?"),
        Refused(400, "image: expected an image as base64"),
    ),
    ("a path that is no file", command("run", "edges", "gone.png"), Refused(400, "image: expected a file")),
    ("a text file by the command line", command("run", "edges", __file__), NO_PICTURE),
    # words
    ("nothing at all", run("rank"), Refused(400, "pictures: expected a value, got 'nothing'")),
    ("an empty prompt", ask(prompt=""), Works("")),
    (
        "a prompt of 10 000",
        ask(prompt=LONG),
        Refused(400, "prompt: expected at most 2000 characters, got 'xx"),
    ),
    ("an emoji", ask(prompt=EMOJI), Works(EMOJI)),
    ("a prompt that is no text", ask(prompt=b"\xff"), Refused(400, "prompt: expected a valid string")),
    # numbers
    ("steps 0", ask(steps=0), Refused(400, "steps: expected greater than or equal to 1, got 0")),
    ("steps 10^6", ask(steps=10**6), Refused(400, "steps: expected less than or equal to 200, got 1000000")),
    ("steps of another type", ask(steps="many"), Refused(400, "steps: expected a valid integer")),
    ("half a step", ask(steps=1.5), Refused(400, "steps: expected a valid integer")),
    (
        "two steps at once",
        ask(steps=Tensor("INT64", (2,), np.array([1, 2]))),
        Refused(400, "steps: expected one value"),
    ),
    (
        "NaN strength",
        ask(image_strength=float("nan")),
        Refused(400, "image_strength: expected a finite number, got nan"),
    ),
    (
        "NaN strength of a prior",
        ask("create", controls={"depth": {"strength": float("nan")}}),
        Refused(400, "controls.depth.strength: expected a finite number, got nan"),
    ),
    (
        "an end before the start",
        ask("create", controls={"depth": {"start": 0.9, "end": 0.1}}),
        Refused(400, "controls.depth: expected a start before the end, not 0.9 to 0.1"),
    ),
    ("a prior that is none", ask(priors=["smell"]), Refused(400, "priors[0]: expected 'depth', ")),
    ("infinite guidance", ask(guidance="inf"), Refused(400, "guidance: expected a finite number, got 'inf'")),
    ("a negative seed", ask(seed=-1), Refused(400, "seed: expected greater than or equal to 0, got -1")),
    ("a width of 100", ask(width=100), Refused(400, "width: expected a multiple of 64, got 100")),
    # names
    ("an unknown input", ask(stepz=1), Refused(404, "unknown input 'stepz'. Did you mean 'steps'?")),
    ("an unknown graph", command("run", "reimagin"), Refused(404, "Did you mean 'reimagine'?")),
    ("an unknown bundle", command("run", "draw", "--bundle", "sd16"), Refused(404, "unknown bundle 'sd16'")),
    (
        "a value given twice",
        command("run", "draw", "seed=1", "seed=2"),
        Refused(400, "seed: expected one value, got "),
    ),
    # weights
    (
        "weights that are not here",
        run("draw", "sd15", prompt="a"),
        Refused(503, "pull them: model-init pull --bundle sd15"),
    ),
    (
        "weights that are not pinned",
        catalogue(
            "graphs: {}\nentries: {a: {component: a:A, summary: a, bundles: {"
            "pocket: {weights: {model: {url: 's3://bucket/net'}}}}}}"
        ),
        Refused(
            500,
            "catalogue.yaml:2: entries.a.bundles.pocket.weights.model: "
            "'s3://bucket/net' is not pinned: needs 'revision', as `model-init hash` prints it",
        ),
    ),
    # manifests
    (
        "a cycle",
        manifest("          - name: generate", "          - &g {name: generate, children: [*g]}"),
        Refused(500, "manifest.yaml:12: a cycle"),
    ),
    (
        "an unknown component",
        manifest("--component=rank, --bundle=pocket", "--component=rang, --bundle=pocket, --name=rank"),
        Refused(404, "unknown entry 'rang'. Did you mean 'rank'?"),
    ),
    (
        "an unknown node",
        manifest("          - name: generate", "          - name: degenerate"),
        Refused(500, "node 'degenerate' has no container; containers: ['generate', 'rank']"),
    ),
    ("an unknown type", manifest("OUTPUT_TRANSFORMER", "OUTPUT"), Refused(500, "manifest.yaml:10: ")),
    (
        "a duplicate name",
        manifest("          - name: generate", "          - name: rank"),
        Refused(500, "manifest.yaml:8: spec.predictors.0.graph: duplicate node name 'rank'"),
    ),
    (
        "a field that is not run",
        manifest("- name: generate", "- {name: generate, implementation: SKLEARN_SERVER}"),
        Refused(500, "manifest.yaml:12: spec.predictors.0.graph.children.0.implementation: unknown key"),
    ),
    (
        "a router without children",
        manifest("- name: generate", "- {name: generate, type: ROUTER}"),
        Refused(500, "manifest.yaml:12: "),
    ),
    (
        "a model where a combiner must be",
        manifest("type: OUTPUT_TRANSFORMER", "type: COMBINER"),
        Refused(
            500, "container 'rank': expected args ['serve', '--component=rank', '--bundle=pocket'], got "
        ),
    ),
]

# Rows that only the trained generator can answer.
DRAWN: list[Row] = [
    (
        "two seeds for one picture",
        run("draw", prompt="a red sphere", seeds=[1, 2]),
        Refused(400, "node 'generate': seeds: expected 1 seeds, one a picture (prompt), got [1, 2]"),
    ),
    (
        "a prior that the request does not have",
        run("draw", prompt="a red sphere", priors=["depth"]),
        Refused(400, "node 'generate': priors: expected some of prompt, got 'depth'"),
    ),
    (
        "a strength without a photo",
        run("draw", prompt="a red sphere", image_strength=0.5),
        Refused(400, "node 'generate': image: expected a photo to start from"),
    ),
    ("neither prompt nor caption", run("draw"), Refused(400, "prompt: expected a prompt")),
]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, and no weights of the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(sys, "argv", sys.argv)


def check(send: Callable[[], Any], expected: Refused | Works) -> None:
    if isinstance(expected, Works):
        assert send() == expected.expected
        return
    with pytest.raises(ImagegraphError) as caught:
        send()
    assert expected.sentence in str(caught.value)
    assert caught.value.status == expected.status
    assert len(str(caught.value)) < 600  # with all names that there are


@pytest.mark.parametrize(("what", "send", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_what_people_send_is_handled_rightly_or_refused_clearly(what, send, expected):
    check(send, expected)


@pytest.mark.parametrize(("what", "send", "expected"), DRAWN, ids=[row[0] for row in DRAWN])
def test_what_only_the_generator_can_tell_is_refused_clearly(what, send, expected):
    base = Catalogue.read().entry("generate").variant("pocket").weights["base"].folder()
    if not (base / "unet").is_dir():
        pytest.skip("the generator is not trained yet")
    check(send, expected)


def test_a_picture_of_the_wire_is_refused_by_the_port_that_it_came_by():
    with pytest.raises(ImagegraphError, match="^node 'draw': depth: expected a JPEG, PNG or WebP picture"):
        ask("create", depth=Image(b"\x00"))()
