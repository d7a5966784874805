"""Super-resolution by a small network of plain convolutions (Real-ESRGAN)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.upscale import Upscale
from imagegraph.component import Weights

if TYPE_CHECKING:
    from PIL import Image as PillowImage


class CompactUpscale(Upscale):
    """Enlarges pictures and makes their lines clean; of photographs it makes paintings.

    It sees less than 20 px around a pixel, so that parts are exact.

    Source: Wang et al. 2021, Real-ESRGAN.
    """

    def load(self, weights: Weights) -> None:
        """Loads the network."""
        import torch
        from safetensors.torch import load_file

        from components.compact_network import CompactNetwork

        config = json.loads((weights["model"] / "config.json").read_text())
        network = CompactNetwork(config["channels"], config["convolutions"], config["scale"])
        network.load_state_dict(load_file(weights["model"] / "model.safetensors"))
        self._device = weights.device
        self._dtype = torch.float16 if weights.device.startswith("cuda") else torch.float32
        # With the channels last, as pictures have them, it takes three quarters of the time.
        network.to(self._device, self._dtype, memory_format=torch.channels_last).eval()
        self._network = network
        self._scale, self._window = network.scale, 1

    def _predict(self, picture: PillowImage.Image) -> NDArray[np.uint8]:
        import torch

        pixels = torch.from_numpy(np.array(picture)).to(self._device, self._dtype)
        with torch.inference_mode():
            answer = self._network(pixels.permute(2, 0, 1)[None] / 255)[0]
        values = answer.float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        enlarged: NDArray[np.uint8] = np.round(values * 255).astype(np.uint8)
        return enlarged
