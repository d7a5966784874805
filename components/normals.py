"""Surface normals from one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from components.fidelity import normals_fidelity
from components.pretrained import pretrained
from imagegraph.component import Reader, Weights
from imagegraph.image import Image, working_size

BAE = "scannet.pt"  # the name of NormalBae's weights in the repository of annotators


class NormalsPrior(TypedDict):
    """normals: a unit vector a pixel, -1..1 as 0..255: red to the left, green up, blue to the camera."""

    normals: Image


class Normals(Reader):
    """Says which way every surface faces, in the colours that normal ControlNets know.

    Source: Bae et al. 2021, NormalBae (controlnet_aux.NormalBaeDetector); in pocket a SegFormer whose three
    logits are the vector.
    """

    def __init__(self, size: int) -> None:
        """Maps are answered with a shorter side of about `size` px, that of the generator."""
        self._size = size

    def load(self, weights: Weights) -> None:
        """Loads NormalBae or a SegFormer, whichever the folder holds."""
        load = self._load_bae if (weights["model"] / BAE).exists() else self._load_segformer
        self._estimate: Callable[[Any, int, int], NDArray[np.uint8]] = load(weights)

    def _load_bae(self, weights: Weights) -> Callable[[Any, int, int], NDArray[np.uint8]]:
        from controlnet_aux import NormalBaeDetector

        detector = NormalBaeDetector.from_pretrained(str(weights["model"])).to(weights.device)

        def estimate(picture: Any, width: int, height: int) -> NDArray[np.uint8]:
            side = min(width, height)
            pixels = np.asarray(picture.resize((width, height)))
            normals: NDArray[np.uint8] = detector(
                pixels, detect_resolution=side, image_resolution=side, output_type="np"
            )
            return normals

        return estimate

    def _load_segformer(self, weights: Weights) -> Callable[[Any, int, int], NDArray[np.uint8]]:
        import torch
        from transformers import AutoImageProcessor, SegformerForSemanticSegmentation

        processor = AutoImageProcessor.from_pretrained(weights["model"])
        model = pretrained(SegformerForSemanticSegmentation, weights)

        def estimate(picture: Any, width: int, height: int) -> NDArray[np.uint8]:
            inputs = processor(picture, return_tensors="pt").to(model.device, model.dtype)
            with torch.inference_mode():
                answer = model(**inputs).logits.float()
            resized = torch.nn.functional.interpolate(answer, size=(height, width), mode="bilinear")
            unit = torch.nn.functional.normalize(resized, dim=1)[0]
            pixels = (unit + 1) * 127.5
            normals: NDArray[np.uint8] = pixels.round().byte().permute(1, 2, 0).cpu().numpy()
            return normals

        return estimate

    def predict(self, image: Image) -> NormalsPrior:
        """Answers the normals of a picture."""
        picture = image.rgb()
        width, height = working_size(*picture.size, self._size)
        return {"normals": Image.from_array(self._estimate(picture, width, height))}

    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        """Returns the correlation of the normals."""
        seen = again["normals"]
        wanted = control["normals"].map_rgb().resize(seen.size)
        return normals_fidelity(np.asarray(wanted), np.asarray(seen.map_rgb()))
