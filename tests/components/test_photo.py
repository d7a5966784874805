"""The readers of `photo`: what they answer for a person, a cat, a crowd, and where nothing is shown."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image as PillowImage

from components.colours import colour_names
from components.cutout import Cutter, readable
from components.layers import layers
from components.nanodet import Detector
from imagegraph.component import Component, Progress
from imagegraph.image import Image
from imagegraph.spec.catalogue import Catalogue

READERS = ("depth", "pose", "segmentation", "caption")


@pytest.fixture(scope="module")
def readers() -> dict[str, Component]:
    catalogue = Catalogue.read()
    made = {}
    for name in READERS:
        entry = catalogue.entry(name)
        made[name] = entry.build("photo", {})
        made[name].load(entry.weights("photo", "cpu"))
    return made


def read(readers: dict[str, Component], picture: PillowImage.Image) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for reader in readers.values():
        answer |= reader.predict(image=Image(pixels=picture))
    return answer


@pytest.fixture(scope="module")
def astronaut(readers: dict[str, Component]) -> dict[str, Any]:
    return read(readers, PillowImage.fromarray(skimage.data.astronaut()))


@pytest.fixture(scope="module")
def cat(readers: dict[str, Component]) -> dict[str, Any]:
    return read(readers, PillowImage.fromarray(skimage.data.chelsea()))


def test_readers_of_one_process_cut_a_picture_once_whoever_asks_first(
    readers: dict[str, Component], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[PillowImage.Image] = []
    alone = Cutter._cut
    monkeypatch.setattr(Cutter, "_cut", lambda self, picture: cut.append(picture) or alone(self, picture))
    pictures = [Image(pixels=PillowImage.effect_noise((80, 64), 40 + n).convert("RGB")) for n in range(2)]
    with ThreadPoolExecutor() as pool:
        for picture in pictures:
            jobs = [pool.submit(readers[name].predict, image=picture) for name in READERS if name != "pose"]
            assert all(job.result() for job in jobs)
    assert [one.tobytes() for one in cut] == [one.rgb().tobytes() for one in pictures]


def test_a_cut_that_fails_is_tried_again(
    readers: dict[str, Component], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Image(pixels=PillowImage.effect_noise((80, 64), 50).convert("RGB"))
    with monkeypatch.context() as broken:
        broken.setattr(Cutter, "_salient", lambda self, picture: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            readers["depth"].predict(image=picture)
    assert readers["depth"].predict(image=picture)["depth"]


def test_a_person_is_described_by_the_clothes_in_words_of_the_generator(astronaut: dict[str, Any]) -> None:
    assert astronaut["caption"] == "a person in orange"


def test_a_persons_key_points_are_px_of_the_drawing(astronaut: dict[str, Any]) -> None:
    (person,) = astronaut["keypoints"]
    nose, left_eye, right_eye = person[:3]
    assert np.linalg.norm(nose[:2] - np.array([56, 31])) < 5
    assert right_eye[0] < nose[0] < left_eye[0]
    assert np.asarray(astronaut["pose"].rgb()).any()


def test_a_person_stands_as_near_as_the_foot(astronaut: dict[str, Any]) -> None:
    depth = astronaut["depth"].map()
    assert depth[40, 56] == 1  # the face: the person reaches the last row
    assert depth[40, 5] < 0.4


def test_no_person_is_seen_in_a_cat(cat: dict[str, Any]) -> None:
    assert len(cat["keypoints"]) == 0
    assert not np.asarray(cat["pose"].rgb()).any()
    assert cat["segments"][0] == "subject"
    assert "person" not in cat["segments"]
    assert cat["caption"] == "a cat"


NOISE = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
PICTURES = {
    "black": PillowImage.new("RGB", (64, 64)),
    "white": PillowImage.new("RGB", (300, 100), "white"),
    "16 x 16": PillowImage.new("RGB", (16, 16), "red"),
    "noise": PillowImage.fromarray(NOISE),
    "one channel": PillowImage.fromarray(NOISE[..., 0]),
    "sixteen bits": PillowImage.fromarray(NOISE[..., 0].astype(np.uint16) * 257),
    "8000 px": PillowImage.new("RGB", (8000, 2000), "navy"),
    "night": PillowImage.fromarray(NOISE // 32),
}


@pytest.mark.parametrize("name", PICTURES)
def test_where_nothing_is_shown_nothing_is_seen(name: str, readers: dict[str, Component]) -> None:
    answer = read(readers, PICTURES[name])
    assert len(answer["keypoints"]) == 0
    assert answer["segments"] == ["background"]
    # Noise may look like chain mail, but like nobody.
    assert not {"person", "people"} & set(answer["caption"].split())
    assert (answer["depth"].map()[0] == 0).all()
    assert (answer["depth"].map()[-1] == 1).all()


def test_of_a_picture_too_small_to_tell_no_class_is_named(readers: dict[str, Component]) -> None:
    tiny = PillowImage.fromarray(skimage.data.astronaut()).resize((16, 16))
    assert read(readers, tiny)["caption"].startswith(("something", "a view"))


def test_large_photographs_are_read_at_a_size_that_is_enough() -> None:
    photo = PillowImage.new("L", (8000, 6000))
    assert readable(Image(pixels=photo)).size == (2048, 1536)
    assert readable(Image(pixels=photo.crop((0, 0, 2048, 600)))).size == (2048, 600)


def test_twenty_people_are_seen_as_many_as_can_be_told_apart(readers: dict[str, Component]) -> None:
    tile = PillowImage.fromarray(skimage.data.astronaut()).resize((200, 200))
    crowd = PillowImage.new("RGB", (1000, 800))
    for index in range(20):
        crowd.paste(tile, (index % 5 * 200, index // 5 * 200))
    answer = read(readers, crowd)
    assert len(answer["keypoints"]) >= 10
    assert answer["caption"] in ("ten people", "many people")


def test_things_are_found_where_they_are_in_pictures_of_any_shape() -> None:
    folder = Catalogue.read().entry("pose").weights("photo", "cpu")["detector"]
    wide = PillowImage.new("RGB", (1600, 512))
    wide.paste(PillowImage.fromarray(skimage.data.astronaut()), (800, 0))
    found = next(one for one in Detector(folder).find(wide, 0.4) if one.label == "person")
    assert np.allclose(found.box, (825, 16, 1162, 512), atol=40)


def test_every_standing_part_has_its_own_foot() -> None:
    standing = np.zeros((5, 4), bool)
    standing[1:3, 0] = True
    standing[0:4, 2] = True
    nearness = layers(standing)
    assert nearness[:, 0].tolist() == [0, 0.5, 0.5, 0.75, 1]
    assert nearness[:, 2].tolist() == [0.75, 0.75, 0.75, 0.75, 1]
    assert nearness[:, 1].tolist() == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((205, 32, 38), "red"), ((245, 125, 20), "orange"), ((245, 215, 40), "yellow"),
        ((38, 150, 50), "green"), ((30, 195, 205), "cyan"), ((35, 70, 205), "blue"),
        ((125, 45, 175), "purple"), ((240, 100, 175), "pink"), ((20, 22, 20), "black"),
        ((250, 248, 245), "white"), ((128, 130, 128), "grey"), ((110, 70, 35), "brown"),
    ],
)  # fmt: skip
def test_the_generators_colours_and_plain_ones_have_their_names(
    colour: tuple[int, int, int], name: str
) -> None:
    assert colour_names(np.full((4, 3), colour, np.uint8)) == [name]


def test_a_picture_is_enlarged_four_times_and_parts_show_no_seams() -> None:
    entry = Catalogue.read().entry("upscale")
    upscale = entry.build("photo", {})
    upscale.load(entry.weights("photo", "cpu"))
    photo = Image.from_array(skimage.data.astronaut()[:120, 100:300])
    (whole,) = upscale.predict(Progress(), image=photo)["pictures"]
    assert whole.size == (800, 480)
    upscale._tile = 160
    (parts,) = upscale.predict(Progress(), image=photo)["pictures"]
    difference = np.asarray(whole.rgb()).astype(int) - np.asarray(parts.rgb())
    assert np.abs(difference).max() <= 1
    small = np.asarray(whole.rgb().resize((200, 120), PillowImage.Resampling.BOX)).astype(int)
    assert np.abs(small - skimage.data.astronaut()[:120, 100:300]).mean() < 8
