import io

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.run import provenance
from imagegraph.run.provenance import NodeRecord, Record, SourceFile
from imagegraph.spec.graph import Node
from tests import tiny

PICTURE = Image.from_array(np.arange(768, dtype=np.uint8).reshape(16, 16, 3))
RECORD = Record(
    name="draw",
    bundle="pocket",
    graph=Node(name="draw", entry="generate"),
    nodes={"draw": NodeRecord(entry="generate", weights={"base": "0" * 40})},
    parameters={"prompt": "ein roter Würfel 👩‍🚀", "seed": 2**53 - 1, "guidance": 0.1, "seeds": None},
    sources={"image": (SourceFile(file="source-image.png", sha256=provenance.digest(PICTURE)),)},
    picture=3,
    about={"clip_prompt": 0.25},
)


def test_a_picture_carries_its_record_and_stays_as_it_was(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(provenance.stamp(PICTURE, RECORD))
    assert provenance.read(path) == RECORD
    assert np.array_equal(np.asarray(Pillow.open(path)), np.asarray(PICTURE.rgb()))


def test_nodes_are_recorded_with_the_versions_of_their_weights(tmp_path):
    catalogue = tiny.catalogue(tmp_path)
    nodes = provenance.nodes(Node(name="a", entry="paint"), "pocket", catalogue)
    assert nodes.keys() == {"a"}
    assert nodes["a"].entry == "paint"
    assert len(nodes["a"].weights["colours"]) == 40


def png(**text: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in text.items():
        info.add_itxt(key, value, zip=True)
    buffer = io.BytesIO()
    Pillow.new("RGB", (16, 16)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "a PNG picture"),
        (b"", "a PNG picture"),
        (b"hello", "a PNG picture"),
        (png()[:50], "a PNG picture"),
        (png(imagegraph="x" * 2**21), "a PNG picture"),
        (png(), "a picture with provenance, got .a PNG without"),
        (png(imagegraph="no JSON"), "provenance of this version"),
        (png(imagegraph="[" * 10_000), "provenance of this version"),
        (png(imagegraph='{"name": "draw"}'), "provenance of this version"),
        (png(imagegraph=RECORD.model_dump_json().replace('"picture":3', '"picture":"x"')), "of this version"),
    ],
)
def test_a_file_without_a_readable_record_says_so(tmp_path, data, message):
    path = tmp_path / "picture.png"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InvalidInput, match=f"picture.png: expected .*{message}"):
        provenance.read(path)


def test_a_source_is_found_beside_the_picture_and_must_be_the_same(tmp_path):
    source = RECORD.sources["image"][0]
    with pytest.raises(InvalidInput, match="image: expected the file source-image.png"):
        provenance.find_source(source, tmp_path, "image")
    (tmp_path / source.file).write_bytes(PICTURE.data)
    assert provenance.find_source(source, tmp_path, "image") == PICTURE
    (tmp_path / source.file).write_bytes(b"other")
    with pytest.raises(InvalidInput, match=r"image: expected source-image.png with SHA-256"):
        provenance.find_source(source, tmp_path, "image")


def test_a_record_does_not_lead_out_of_the_folder(tmp_path):
    (tmp_path / "secret").write_bytes(PICTURE.data)
    folder = tmp_path / "out"
    folder.mkdir()
    source = SourceFile(file="../secret", sha256=provenance.digest(PICTURE))
    with pytest.raises(InvalidInput, match="beside the picture"):
        provenance.find_source(source, folder, "image")
