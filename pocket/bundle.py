"""The trained models, loaded the way anybody would load them, for measuring and for samples."""

import functools
from typing import Any

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from numpy.typing import NDArray
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForDepthEstimation,
    AutoModelForImageClassification,
    AutoModelForObjectDetection,
    AutoModelForSemanticSegmentation,
    AutoProcessor,
    BlipForConditionalGeneration,
    BlipForQuestionAnswering,
    CLIPModel,
    SamModel,
    Swin2SRForImageSuperResolution,
    VitPoseForPoseEstimation,
)

from pocket.training import WEIGHTS
from pocket.world import SIZE

STEPS, GUIDANCE = 10, 2.5
BATCH = 12  # pictures drawn at once
CONTROLS = ("segmentation", "depth", "edges", "pose", "normals", "lineart", "scribble")
READERS: dict[str, Any] = {
    "segmentation": AutoModelForSemanticSegmentation,
    "segment": SamModel,
    "depth": AutoModelForDepthEstimation,
    "normals": AutoModelForSemanticSegmentation,
    "people": AutoModelForObjectDetection,
    "pose": VitPoseForPoseEstimation,
    "caption": BlipForConditionalGeneration,
    "clip": CLIPModel,
    "upscale": Swin2SRForImageSuperResolution,
    "vqa": BlipForQuestionAnswering,
    "judge": AutoModelForImageClassification,
    "style-judge": AutoModelForImageClassification,
}

Picture = NDArray[np.uint8]


@functools.cache
def reader(name: str) -> Any:
    """Load a model that reads pictures from weights/<name>."""
    return READERS[name].from_pretrained(WEIGHTS / name, dtype=torch.float32).eval()


@functools.cache
def processor(name: str) -> Any:
    """Load the processor of weights/<name>: for pictures alone, or for pictures and words."""
    auto = AutoProcessor if name in ("clip", "caption", "vqa", "segment") else AutoImageProcessor
    return auto.from_pretrained(WEIGHTS / name)


def load_controlnet(kind: str) -> ControlNetModel:
    """Load the ControlNet of a kind of prior."""
    return ControlNetModel.from_pretrained(WEIGHTS / f"controlnet-{kind}", torch_dtype=torch.float32)


@functools.cache
def pipeline(control: str | None = None) -> Any:
    """Load Stable Diffusion, with a ControlNet or without."""
    path, settings = WEIGHTS / "stable-diffusion", {"torch_dtype": torch.float32, "safety_checker": None}
    if control is None:
        pipe = StableDiffusionPipeline.from_pretrained(path, **settings)
    else:
        net = load_controlnet(control)
        pipe = StableDiffusionControlNetPipeline.from_pretrained(path, controlnet=net, **settings)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(captions: list[str], control: str | None = None, maps: list[Picture] | None = None) -> Picture:
    """Draw a picture [N, H, W, 3] for every caption, each with its own seed."""
    drawn = []
    for i in range(0, len(captions), BATCH):
        some = captions[i : i + BATCH]
        seeds = [torch.Generator().manual_seed(i + k) for k in range(len(some))]
        extra = {} if maps is None else {"image": [Image.fromarray(m) for m in maps[i : i + BATCH]]}
        answer = pipeline(control)(
            some,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            height=SIZE,
            width=SIZE,
            generator=seeds,
            output_type="np",
            **extra,
        )
        drawn.append((answer.images * 255).round().astype(np.uint8))
    return np.concatenate(drawn)


def redraw(pictures: Picture, captions: list[str], strength: float) -> Picture:
    """Draw pictures [N, H, W, 3] anew by captions, each with its own seed; a strength of 1 keeps nothing."""
    pipe = StableDiffusionImg2ImgPipeline(**pipeline().components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    drawn = []
    for i in range(0, len(captions), BATCH):
        some = captions[i : i + BATCH]
        answer = pipe(
            some,
            image=[Image.fromarray(picture) for picture in pictures[i : i + BATCH]],
            strength=strength,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=[torch.Generator().manual_seed(i + k) for k in range(len(some))],
            output_type="np",
        )
        drawn.append((answer.images * 255).round().astype(np.uint8))
    return np.concatenate(drawn)


@torch.no_grad()
def find_poses(picture: Picture) -> NDArray[np.float32]:
    """Return key points [people, 17, 3] with their scores, as the product finds them."""
    answer = reader("people")(**processor("people")(picture, return_tensors="pt"))
    [seen] = processor("people").post_process_object_detection(answer, 0.3, [picture.shape[:2]])
    boxes = [[[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in seen["boxes"].tolist()]]
    if not boxes[0]:
        return np.zeros((0, 17, 3), np.float32)
    inputs = processor("pose")(picture, boxes=boxes, return_tensors="pt")
    answer = reader("pose")(**inputs)
    [found] = processor("pose").post_process_pose_estimation(answer, boxes=boxes)
    return np.stack([torch.cat([p["keypoints"], p["scores"][:, None]], 1).numpy() for p in found])
