"""Masks of what points and boxes mean, or of all that a picture holds (SAM's mask decoder)."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterator, Mapping, Set
from typing import Annotated, Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydantic import Field

from components.embed_picture import Embedding, EmbedPicture
from components.everything import BATCH, Found, Limits, Part, View, everything, grid, parts
from components.masks import Polygon, boxes_around, outline, within
from components.picture_prompts import Labels, PicturePrompts, Points, read_prompts
from components.pretrained import pretrained
from components.regions import Boxes
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.ports import Array, Unit


class Segments(TypedDict):
    """masks: of the picture's size, 1 bit a pixel; the rest is of each of them, in their order.

    iou_scores: the IoU with the truth that the model foresees.
    boxes: left, top, right, bottom in px, right and bottom exclusive; four zeros for an empty mask.
    areas: in px.
    polygons: under "masks", of each of its parts the outline, then those of holes, as rings of [x, y] in px.
    """

    masks: list[Image]
    iou_scores: Annotated[
        NDArray[np.float32], Array("float32", (-1,)), Field(description="Foreseen fit of the outline")
    ]
    boxes: Boxes
    areas: Annotated[
        NDArray[np.int64],
        Array("int64", (-1,)),
        Field(description="Area", json_schema_extra={"unit": "px"}),
    ]
    polygons: dict[str, list[list[Polygon]]]


class Segment(Component):
    """Cuts out what prompts mean: points, boxes or both, an object each; without prompts, everything.

    Where `embed-picture` is a node before this one, its answer is kept like that of any node, as it
    reads no prompts: a further click costs the mask decoder alone. Without it, the picture is embedded here.

    A box says where its object ends: masks end there, too, but for a little that it may be drawn too small.

    Source: Kirillov et al. 2023, Segment Anything.
    """

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Mapping[str, bool], roles: Set[str]) -> None:
        """Refuses prompts that are none of the picture before it is embedded."""
        image = known.get("image")
        if image is not None and not any(name in coming for name in ("points", "labels", "boxes")):
            read_prompts(known.get("points"), known.get("labels"), known.get("boxes"), image.size)

    def load(self, weights: Weights) -> None:
        """Loads SAM and its processor."""
        from transformers import AutoProcessor, SamModel

        self._encoder = EmbedPicture()
        self._encoder.load(weights)
        self._processor = AutoProcessor.from_pretrained(weights["model"]).image_processor
        self._model = pretrained(SamModel, weights)

    def predict(
        self,
        progress: Progress,
        image: Image,
        picture_embedding: Annotated[
            Embedding | None,
            Field(description="The picture as `embed-picture` of the same bundle answers it"),
        ] = None,
        points: Annotated[
            Points | None, Field(description="Of an object a row: x and y, [objects, points, 2]")
        ] = None,
        labels: Annotated[
            Labels | None,
            Field(description="Of each point: 1 = of the object, 0 = not, -1 = no point; else 1"),
        ] = None,
        boxes: Annotated[
            Boxes | None, Field(description="Of an object a row: left, top, right, bottom")
        ] = None,
        answers: Annotated[
            Literal["best", "all"],
            Field(description="Of the three masks of a prompt: the one foreseen to be best, or all"),
        ] = "best",
        tolerance: Annotated[
            float,
            Field(
                ge=0,
                le=100,
                allow_inf_nan=False,
                description="How far polygons may stray from masks",
                json_schema_extra={"unit": "px"},
            ),
        ] = 1.0,
        grid_side: Annotated[
            int, Field(ge=1, le=64, description="Without prompts: points on each side of the grid")
        ] = 32,
        crop_layers: Annotated[
            int,
            Field(
                ge=0,
                le=2,
                description="Without prompts: look at 2 x 2 enlarged parts, too (1), and at 4 x 4 (2)",
            ),
        ] = 0,
        least_iou: Annotated[Unit, Field(description="Without prompts: least IoU foreseen of a mask")] = 0.88,
        least_stability: Annotated[
            Unit, Field(description="Without prompts: least share of a mask that no doubt would change")
        ] = 0.95,
        most_overlap: Annotated[
            Unit, Field(description="Without prompts: most IoU of the boxes of two masks")
        ] = 0.7,
        most_shared: Annotated[Unit, Field(description="Without prompts: most IoU of two masks")] = 0.9,
        least_part: Annotated[
            Unit, Field(description="Without prompts: least share of a mask that a part of it apart has")
        ] = 0.02,
    ) -> Segments:
        """Answers masks in the order of the prompts; without prompts, the surest first.

        Raises:
            InvalidInput: a prompt is none of this picture, or the embedding one of another model.
        """
        import torch

        prompts = read_prompts(points, labels, boxes, image.size)
        if picture_embedding is None:
            picture_embedding = self._encoder.predict(image)["picture_embedding"]
        with torch.inference_mode():
            embedding = self._embedding(picture_embedding)
            bounds = None
            if prompts is None:
                limits = Limits(least_iou, least_stability, most_overlap, most_shared, least_part)
                views = self._views(progress, image, embedding, grid_side, crop_layers)
                found = everything(views, limits)
            else:
                logits, scores = self._asked(progress, embedding, prompts, image.size)
                if answers == "best":
                    best = scores.argmax(1, keepdim=True)
                    logits, scores = logits[torch.arange(len(best))[:, None], best], scores.gather(1, best)
                if prompts.boxes is not None:
                    bounds = torch.tensor(prompts.boxes).repeat_interleave(scores.shape[1], 0)
                whole = [Part(0, 0, *image.size)] * scores.numel()
                found = Found(logits.flatten(0, 1), scores.flatten(), whole)
            return self._finish(progress, found, bounds, image.size, tolerance)

    def _embedding(self, numbers: NDArray[np.float16]) -> Any:
        """Returns the embedding as the decoder takes it, [1, channels, h, w]."""
        import torch

        shape = (
            1,
            self._model.config.vision_config.output_channels,
            *self._model.prompt_encoder.image_embedding_size,
        )
        if numbers.size != math.prod(shape):
            expected = f"the {math.prod(shape)} numbers of `embed-picture` of the same bundle"
            raise InvalidInput("picture_embedding", expected, numbers.size)
        embedding = torch.from_numpy(numbers.reshape(shape).astype(np.float32))
        return embedding.to(self._model.device, self._model.dtype)

    def _seen(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns width and height of a picture as the encoder sees it, as `SamImageProcessor` has them."""
        longest = self._processor.size["longest_edge"]
        width, height = (int(side * longest / max(size) + 0.5) for side in size)
        return width, height

    def _decode(self, embedding: Any, **prompts: Any) -> tuple[Any, Any]:
        """Returns logits [prompts, 3, h, w] and the IoU foreseen for them [prompts, 3]."""
        device = self._model.device
        asked = {f"input_{name}": one[None].to(device) for name, one in prompts.items()}
        answer = self._model(image_embeddings=embedding, **asked)
        return answer.pred_masks[0].float(), answer.iou_scores[0].float()

    def _asked(
        self, progress: Progress, embedding: Any, prompts: PicturePrompts, size: tuple[int, int]
    ) -> tuple[Any, Any]:
        """Returns what `_decode` does, for all prompts."""
        import torch

        scale = np.divide(self._seen(size), size).astype(np.float32)
        given: dict[str, Any] = {}
        if prompts.points is not None:
            given["points"] = torch.from_numpy(prompts.points * scale)
            given["labels"] = torch.from_numpy(prompts.labels)
        if prompts.boxes is not None:
            given["boxes"] = torch.from_numpy(prompts.boxes * np.tile(scale, 2))
        parts = []
        for start in range(0, len(prompts), BATCH):
            progress(start, len(prompts))
            parts.append(
                self._decode(embedding, **{name: one[start : start + BATCH] for name, one in given.items()})
            )
        logits, scores = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(scores)

    def _views(
        self, progress: Progress, image: Image, embedding: Any, side: int, layers: int
    ) -> Iterator[View]:
        """Yields the picture and its parts, a grid of points over each: the smaller, the fewer."""
        import torch

        for layer, part in parts(image.size, layers):
            if layer:
                enlarged = self._encoder.predict(Image(pixels=image.rgb().crop(part)))
                embedding = self._embedding(enlarged["picture_embedding"])
            seen = np.array(self._seen(part.size), np.float32)
            points = torch.from_numpy(grid(max(1, side >> layer)) * seen)
            across, down = seen / seen.max()
            yield View(part, (across, down), functools.partial(self._by_points, progress, embedding), points)

    def _by_points(self, progress: Progress, embedding: Any, points: Any) -> tuple[Any, Any]:
        """Returns what `_decode` does, for points each of an object."""
        progress.check()
        return self._decode(embedding, points=points[:, None])

    def _finish(
        self,
        progress: Progress,
        found: Found,
        bounds: Any,
        size: tuple[int, int],
        tolerance: float,
    ) -> Segments:
        """Enlarges masks to the picture, one at a time: together they may be many gigabytes.

        Args:
            bounds: boxes [masks, 4] in px that they are to stay within, or None.
        """
        import torch

        masks, boxes, areas, polygons = [], [], [], []
        for index, (one, part) in enumerate(zip(found.logits, found.parts, strict=True)):
            progress(index, len(found.parts))
            mask = torch.zeros(size[::-1], dtype=torch.bool, device=one.device)
            mask[part.top : part.bottom, part.left : part.right] = self._enlarged(one, part.size) > 0
            if bounds is not None:
                mask = within(mask, bounds[index].to(mask.device))
            masks.append(one_bit(mask.cpu().numpy()))
            boxes.append(boxes_around(mask).tolist())
            areas.append(int(mask.sum()))
            polygons.append(outline(mask.cpu().numpy(), tolerance))
        return {
            "masks": masks,
            "iou_scores": found.scores.clamp(0, 1).cpu().numpy().astype(np.float32),
            "boxes": np.array(boxes, np.float32).reshape(-1, 4),
            "areas": np.array(areas, np.int64),
            "polygons": {"masks": polygons},
        }

    def _enlarged(self, logits: Any, size: tuple[int, int]) -> Any:
        """Returns logits [h, w] of what the encoder saw, at the size of the picture."""
        seen = self._seen(size)[::-1]
        (enlarged,) = self._processor.post_process_masks(
            [logits[None, None]], [size[::-1]], [seen], binarize=False
        )
        return enlarged[0, 0]


def one_bit(mask: NDArray[np.bool_]) -> Image:
    """Returns a mask [h, w] as a PNG of 1 bit a pixel."""
    file = io.BytesIO()
    PillowImage.fromarray(mask).save(file, "PNG")
    return Image(file.getvalue())
