"""Segmentation into people, main subject and background (MediaPipe Selfie and U²-Net)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from components.nanodet import PERSON, Detector, Found
from components.onnx_model import OnnxModel
from components.pretrained import shared
from components.segmentation import SegmentationPrior, SegmentationReader
from imagegraph.component import Weights
from imagegraph.image import Image, working_size

AROUND = 0.15  # of a person's box on every side: the mask network wants to see some background,
WITHIN = 0.02  # but what it finds there is somebody or something else
LEAST_SUBJECT = 0.01  # of the picture; what is smaller is nothing that a picture is about
SLIVER = 0.03  # of the shorter side: thinner leftovers beside a person are that person's edge
SURE = 0.5
KEPT_CUTS = 4
MOST_SIDE = 2048  # px; what is larger is read at this size, finer than any network here looks

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cutouts:
    """What stands out of a picture.

    Attributes:
        people: the people found, surest first.
        things: what else the detector found, surest first.
        person: where people are, [h, w].
        subject: where the main subject is that is no person, [h, w]; empty where nothing stands out.
    """

    people: Sequence[Found]
    things: Sequence[Found]
    person: Mask
    subject: Mask


def readable(image: Image) -> PillowImage.Image:
    """Returns a picture in RGB as networks read it: with sides of at most `MOST_SIDE` px."""
    picture = image.rgb()
    scale = MOST_SIDE / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (round(side * scale) for side in picture.size)
    return picture.resize((width, height), PillowImage.Resampling.BILINEAR, reducing_gap=2)


class Cutter:
    """Cuts people and the main subject out of pictures.

    Several components of a graph cut the same picture; those of a process share one cutter, and the first of
    them that asks cuts for all.

    Source: Google 2021, MediaPipe Selfie Segmentation; Qin et al. 2020, U²-Net; RangiLyu 2021, NanoDet.
    """

    @classmethod
    def of(cls, weights: Weights) -> Cutter:
        """Returns the cutter that this process has with these weights."""
        folders = (weights[role] for role in ("detector", "person", "subject"))
        cutter: Cutter = shared(lambda: cls(weights), *folders, weights.device)
        return cutter

    def __init__(self, weights: Weights) -> None:
        """Opens the networks of the roles "detector", "person" and "subject"; see `of`."""
        self._cuts: dict[bytes, Future[Cutouts]] = {}
        self._lock = threading.Lock()
        self._detector = Detector(weights["detector"], weights.device)
        self._person = OnnxModel(weights["person"], weights.device)
        self._subject = OnnxModel(weights["subject"], weights.device)

    def cut(self, picture: Any) -> Cutouts:
        """Cuts a Pillow image, unless that is known or under way; nobody may change the answer."""
        key = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()
        with self._lock:
            known = self._cuts.get(key)
            first = known is None
            if known is None:
                known = self._cuts[key] = Future()
                if len(self._cuts) > KEPT_CUTS:
                    del self._cuts[next(iter(self._cuts))]
        if first:
            try:
                known.set_result(self._cut(picture))
            except BaseException as error:
                known.set_exception(error)
                with self._lock:
                    self._cuts.pop(key, None)
        return known.result()

    def _cut(self, picture: Any) -> Cutouts:
        # The mask of people is sought in their boxes alone, since it takes cats for people, too.
        found = self._detector.find(picture, PERSON)
        people = [one for one in found if one.label == "person"]
        person = np.zeros((picture.height, picture.width), bool)
        for one in people:
            self._add_person(picture, one, person)
        subject = self._salient(picture)
        if people:
            subject = _opened(subject & ~person)
        if subject.mean() < LEAST_SUBJECT:
            subject[:] = False
        return Cutouts(people, [one for one in found if one.label != "person"], person, subject)

    def _add_person(self, picture: Any, person: Found, mask: Mask) -> None:
        part = picture.crop(_around(person, AROUND, picture.size))
        side = self._person.config["image_size"]
        pixels = np.asarray(part.resize((side, side), PillowImage.Resampling.BILINEAR), np.float32) / 255
        (answer,) = self._person(pixels[None])
        left, top, right, bottom = _around(person, AROUND, picture.size)
        whole = np.zeros_like(mask)
        whole[top:bottom, left:right] = _enlarged(answer[0, :, :, 0], part.size)
        left, top, right, bottom = _around(person, WITHIN, picture.size)
        mask[top:bottom, left:right] |= whole[top:bottom, left:right]

    def _salient(self, picture: Any) -> Mask:
        """Returns where what the picture is about is, people or not."""
        config = self._subject.config
        small = picture.resize((config["image_size"],) * 2, PillowImage.Resampling.BILINEAR)
        pixels = (np.asarray(small) / 255 - config["image_mean"]) / config["image_std"]
        (answer,) = self._subject(pixels.transpose(2, 0, 1)[None].astype(np.float32))
        return _enlarged(answer[0, 0], picture.size)


def _around(one: Found, part: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns a box, wider by a part of its longer side, within a picture of `size`."""
    left, top, right, bottom = one.box
    by = part * max(right - left, bottom - top)
    width, height = size
    return (
        max(0, int(left - by)),
        max(0, int(top - by)),
        min(width, round(right + by)),
        min(height, round(bottom + by)),
    )


def _enlarged(mask: NDArray[np.float32], size: tuple[int, int]) -> Mask:
    """Returns where a soft mask [h, w] is sure, at another size (width, height)."""
    smooth = PillowImage.fromarray(mask).resize(size, PillowImage.Resampling.BILINEAR)
    return np.asarray(smooth) > SURE


def _opened(mask: Mask) -> Mask:
    """Returns a mask without its parts that are thinner than `SLIVER`."""
    import cv2

    kernel = np.ones((max(1, round(SLIVER * min(mask.shape))),) * 2, np.uint8)
    opened: Mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
    return opened


class Cutout(SegmentationReader):
    """Draws people, the main subject and the background, each in the colour that ControlNets know."""

    roles = ("detector", "person", "subject")

    def __init__(self, size: int, colours: dict[str, Sequence[int]]) -> None:
        """Takes the generator's shorter side in px, and RGB for "background", "subject" and "person"."""
        self._size = size
        self._colours = colours

    def load(self, weights: Weights) -> None:
        """Opens a detector, a network for masks of people and one for the main subject."""
        self._cutter = Cutter.of(weights)

    def predict(self, image: Image) -> SegmentationPrior:
        """Answers the coloured map of a picture and which of the three it holds, largest first."""
        picture = readable(image)
        cutouts = self._cutter.cut(picture)
        classes = np.zeros((picture.height, picture.width), np.uint8)
        classes[cutouts.subject] = 1
        classes[cutouts.person] = 2
        size = working_size(*picture.size, self._size)
        small = np.asarray(PillowImage.fromarray(classes).resize(size, PillowImage.Resampling.NEAREST))
        names = list(self._colours)
        seen, areas = np.unique(small, return_counts=True)
        palette = np.array(list(self._colours.values()), np.uint8)
        return {
            "segmentation": Image.from_array(palette[small]),
            "segments": [names[index] for index in seen[np.argsort(-areas, kind="stable")]],
        }
