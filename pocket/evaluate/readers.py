"""Measure the models that read pictures."""

from PIL import Image

from pocket import (
    measure_segment,
    photographs,
    train_caption,
    train_clip,
    train_depth,
    train_normals,
    train_people,
    train_pose,
    train_segmentation,
    train_upscale,
)
from pocket.bundle import processor, reader
from pocket.evaluate.floors import Score, Scores
from pocket.evaluate.held_out import SCENES, scenes_of


def segmentation(split: str) -> Scores:
    """Measure the Segformer."""
    model = reader("segmentation")
    return {"segmentation: mIoU": Score(train_segmentation.measure(model, scenes_of(split), SCENES)["mIoU"])}


def segment(split: str) -> Scores:
    """Measure Segment Anything."""
    found = measure_segment.measure(reader("segment"), scenes_of(split), SCENES)
    return {f"segment: {name}": Score(value) for name, value in found.items()}


def depth(split: str) -> Scores:
    """Measure the depth model."""
    model = reader("depth")
    found = train_depth.measure(model, scenes_of(split), SCENES)
    return {f"depth: {name}": Score(value) for name, value in found.items()}


def normals(split: str) -> Scores:
    """Measure the normals."""
    found = train_normals.measure(reader("normals"), scenes_of(split), SCENES)
    return {f"normals: {name}, degrees": Score(value) for name, value in found.items()}


def people(split: str) -> Scores:
    """Measure the people detector."""
    model = reader("people")
    return {
        "people: AP50": Score(
            train_people.measure(model, processor("people"), scenes_of(split), SCENES)["AP50"]
        )
    }


def pose(split: str) -> Scores:
    """Measure the key points of people in true boxes."""
    scenes = scenes_of(split)
    model = reader("pose")
    found = train_pose.measure(model, processor("pose"), scenes, train_pose.find_people(scenes))
    return {f"pose: {name}": Score(value) for name, value in found.items()}


def caption(split: str) -> Scores:
    """Measure the captions."""
    model = reader("caption")
    found = train_caption.measure(model, processor("caption").tokenizer, scenes_of(split), SCENES)
    return {f"caption: {name}": Score(value) for name, value in found.items()}


def clip(split: str) -> Scores:
    """Measure CLIP."""
    model = reader("clip")
    found = train_clip.measure(model, processor("clip").tokenizer, scenes_of(split), SCENES)
    return {f"CLIP: {name}": Score(value) for name, value in found.items()}


def upscale(split: str) -> Scores:
    """Measure super-resolution, on photographs (with "seen") and on our own scenes."""
    model = reader("upscale")
    scenes = [Image.fromarray(image) for image in scenes_of(split).images[:50]]
    sets = {"scenes": scenes}
    if split == "seen":
        sets["photographs"] = [photographs.load(photo) for photo in photographs.HELD_OUT]
    return {
        f"upscale: dB over bicubic on {name}": Score(
            train_upscale.measure(model, processor("upscale"), pictures)["gain over bicubic, dB"]
        )
        for name, pictures in sets.items()
    }
