"""Captions by rule: people and their clothes, the class of the main subject, or colours alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.caption import CaptionPrior, CaptionReader
from components.colours import colour_names
from components.cutout import Cutouts, Cutter, Mask, readable
from components.movenet import KeyPoints
from components.nanodet import Found
from components.pretrained import pretrained
from imagegraph.component import Weights
from imagegraph.image import Image

PRINCIPAL = 0.1  # of the largest person's box: smaller people are part of the background
NUMBERS = ("four", "five", "six", "seven", "eight", "nine", "ten")
SURE = 0.35  # least probability of a word that is said without doubt
ANIMALS = range(398)  # among ImageNet's classes
SUSPECTED = 0.15  # least probability of an animal that casts doubt on another one
SURE_ANIMAL = 0.5  # least probability of all of them together
COVERED = 0.5  # of the subject, by the box of the thing that it is said to be
LEAST_SIDE = 24  # px, of a picture whose classes are believed: smaller, people look like dogs
UNCOUNTED = ("mountains", "sea")
COCO_ANIMALS = frozenset(
    {"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}
)
SKIN = 60  # of 255: what is nearer to the colour of the nose in every channel is bare skin
_NOSE, _SHOULDERS, _SEEN = 0, [5, 6], 0.3


class Describe(CaptionReader):
    """Says what a picture shows, as far as detection, classification and colours tell.

    Where it can it uses the words of the pocket world: "a person in orange left of a person in blue".
    """

    roles = ("detector", "person", "subject", "pose", "classes")

    def load(self, weights: Weights) -> None:
        """Loads a detector, a pose network, masks of people and of the subject, and a classifier."""
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        self._cutter = Cutter.of(weights)
        self._keypoints = KeyPoints(weights)
        self._processor = AutoImageProcessor.from_pretrained(weights["classes"])
        self._classes = pretrained(AutoModelForImageClassification, weights, "classes")

    def predict(self, image: Image) -> CaptionPrior:
        """Answers one English phrase."""
        picture = readable(image)
        cutouts = self._cutter.cut(picture)
        if cutouts.people:
            return {"caption": self._people(picture, cutouts)}
        if word := self._word(picture, cutouts):
            return {"caption": word}
        if cutouts.subject.any():
            one, other = (
                colour_names(np.asarray(picture)[mask])[0] for mask in (cutouts.subject, ~cutouts.subject)
            )
            thing = "something" if one == other else f"something {one}"
            return {"caption": f"{thing} in front of {_a(other)} background"}
        return {"caption": f"a view in {' and '.join(colour_names(np.asarray(picture))[:2])}"}

    def _people(self, picture: Any, cutouts: Cutouts) -> str:
        largest = max(one.area for one in cutouts.people)
        principal = [one for one in cutouts.people if one.area >= PRINCIPAL * largest]
        if len(principal) > 3:
            number = len(principal) - 4
            return f"{NUMBERS[number] if number < len(NUMBERS) else 'many'} people"
        principal.sort(key=lambda one: one.box[0] + one.box[2])
        names = [f"a person in {self._clothes(picture, one, cutouts.person)}" for one in principal]
        first, *others = names
        return " ".join([first, " and ".join(f"left of {other}" for other in others)]).strip()

    def _clothes(self, picture: Any, person: Found, people: Mask) -> str:
        """Returns the colour below the shoulders, as far down as these are apart, without bare skin."""
        left, top, right, bottom = (round(side) for side in person.box)
        keypoints = self._keypoints.find(picture, person)
        x, y, seen = keypoints[_SHOULDERS].T
        if seen.min() >= _SEEN:
            wide = float(np.ptp(x))
            left, right = round(x.min() + 0.1 * wide), round(x.max() - 0.1 * wide)
            top, bottom = round(y.mean()), round(y.mean() + max(wide, 0.3 * (bottom - top)))
        else:
            top = round(bottom - 0.4 * (bottom - top))
        part = np.s_[max(top, 0) : max(bottom, 1), max(left, 0) : max(right, 1)]
        pixels = np.asarray(picture)[part][people[part]]
        x, y, seen = keypoints[_NOSE]
        if seen >= _SEEN and 0 <= x < picture.width and 0 <= y < picture.height:
            skin = np.asarray(picture)[int(y), int(x)].astype(int)
            bare = np.abs(pixels - skin).max(-1) < SKIN
            pixels = pixels if bare.all() else pixels[~bare]
        return colour_names(pixels if len(pixels) else np.asarray(picture)[people])[0]

    def _word(self, picture: Any, cutouts: Cutouts) -> str:
        """Returns the word for the main subject, or for the place; nothing where there is doubt."""
        if min(picture.size) < LEAST_SIDE:
            return ""
        probabilities = self._probabilities(picture, cutouts.subject)
        word, classes, probability = self._likeliest(probabilities)
        named = word if probability >= SURE else ""
        thing = next((one.label for one in cutouts.things if _covers(one, cutouts.subject)), "")
        if thing in COCO_ANIMALS and word != thing and classes[0] in ANIMALS and probability >= SUSPECTED:
            return "an animal"  # but which one, the two do not agree on
        if not (named or thing) and probabilities[list(ANIMALS)].sum() >= SURE_ANIMAL:
            return "an animal"
        chosen = named or thing
        return chosen if not chosen or chosen in UNCOUNTED else _a(chosen)

    def _likeliest(self, probabilities: Any) -> tuple[str, Sequence[int], float]:
        words: Mapping[str, Sequence[int]] = self._classes.config.words
        known = {index for indices in words.values() for index in indices}
        labels = self._classes.config.id2label
        every = {**words, **{labels[index]: [index] for index in range(len(labels)) if index not in known}}
        word = max(every, key=lambda name: probabilities[list(every[name])].sum())
        return word, every[word], float(probabilities[list(every[word])].sum())

    def _probabilities(self, picture: Any, subject: Mask) -> Any:
        """Returns the classes' probabilities, for the picture and for its subject on average."""
        import torch

        views = [picture]
        if subject.any():
            rows, columns = (np.flatnonzero(subject.any(axis)) for axis in (1, 0))
            views.append(picture.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)))
        inputs = self._processor(views, return_tensors="pt").to(self._classes.device, self._classes.dtype)
        with torch.inference_mode():
            logits = self._classes(**inputs).logits.float()
        return logits.softmax(1).mean(0).cpu().numpy()


def _covers(thing: Found, subject: Mask) -> bool:
    left, top, right, bottom = (round(side) for side in thing.box)
    area = int(subject.sum())
    return area > 0 and int(subject[top:bottom, left:right].sum()) >= COVERED * area


def _a(word: str) -> str:
    return f"an {word}" if word[0].lower() in "aeiou" else f"a {word}"
