from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.run import provenance
from tests.cli.commands import run


def test_a_picture_is_replayed_bit_equal_from_its_own_provenance():
    run("run", "paint", "photo.png", "seed=7", "--device", "cpu")
    picture = Path("out/photo-1/picture-01-combined-8.png")
    assert "bit-equal" in run("replay", str(picture), "--device", "cpu").replace("\n", " ")
    again = picture.with_name("picture-01-combined-8-replayed.png")
    assert np.array_equal(*(np.asarray(Pillow.open(path)) for path in (picture, again)))
    assert provenance.read(again) == provenance.read(picture)
    Path("out/photo-1/source-image.png").unlink()
    with pytest.raises(InvalidInput, match="image: expected the file source-image.png beside the picture"):
        run("replay", str(picture))


def test_pictures_of_the_request_are_kept_for_the_replay_too():
    run("run", "paint", "pictures=photo.png,photo.png", "--device", "cpu")
    assert "bit-equal" in run("replay", "out/paint-1/picture-03-given-0.png", "--device", "cpu").replace(
        "\n", " "
    )


def test_pictures_of_any_port_are_replayed_and_other_settings_are_said(tmp_path):
    run("run", "film", "photo.png", "--device", "cpu")
    picture = next(Path("out/photo-1").glob("frame-02-*.png"))
    assert "bit-equal" in run("replay", str(picture), "--device", "cpu").replace("\n", " ")
    path = tmp_path / "catalogue.yaml"
    path.write_text(path.read_text().replace("side: 32", "side: 48"))
    with pytest.raises(InvalidInput, match=r"node 'film': expected settings {'side': 32}, as it was.*48"):
        run("replay", str(picture))
    record = provenance.read(picture)
    unknown = {"film": record.nodes["film"].model_copy(update={"settings": None})}  # of an older version
    image = Image(picture.read_bytes())
    picture.write_bytes(provenance.stamp(image, record.model_copy(update={"nodes": unknown})))
    with pytest.raises(InvalidInput, match="frame-02.*: expected 32x32 px again, got '48x48'"):
        run("replay", str(picture), "-o", "again.png", "--device", "cpu")
    assert not Path("again.png").exists()
    picture.write_bytes(provenance.stamp(image, record.model_copy(update={"nodes": unknown, "picture": 3})))
    with pytest.raises(InvalidInput, match="frames: expected more than 3 pictures"):
        run("replay", str(picture), "--device", "cpu")


def test_other_weights_do_not_replay():
    run("run", "paint", "--device", "cpu")
    picture = Path("out/paint-1/picture-01-combined-1.png")
    record = provenance.read(picture)
    other = provenance.NodeRecord(entry="paint", weights={"colours": "0" * 40})
    for nodes in ({"paint": other}, {"paint": record.nodes["paint"], "gone": other}):
        image = Image(picture.read_bytes())
        picture.write_bytes(provenance.stamp(image, record.model_copy(update={"nodes": nodes})))
        with pytest.raises(InvalidInput, match="node '(paint|gone)'"):
            run("replay", str(picture))
