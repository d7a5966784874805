"""Low-rank adapters (LoRA): read from their files, and added to what layers answer, row by row of a batch.

The layers themselves stay as they are: one model serves rows with different adapters at once, and adapters
come and go without it.

Source: Hu et al. 2021, LoRA.
"""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakSet

import torch
from torch.nn import functional

from imagegraph.errors import ImagegraphError

# What would change the sense of the pairs beside it, or is made of no pairs: DoRA, LoHa, LoKr, Tucker.
OTHERS = re.compile(r"dora_scale|lora_magnitude_vector|hada_|lokr_|lora_mid")
PAIR = re.compile(r"(.+)\.lora_([AB])\.weight")
PEFT = "base_model.model."


@dataclass(frozen=True, eq=False)
class LowRank:
    """What an adapter adds to one layer.

    Attributes:
        down: [rank, in] of a linear layer, [rank, in, h, w] of a convolution.
        up: [out, rank] or [out, rank, 1, 1], with the adapter's own scale.
    """

    down: torch.Tensor
    up: torch.Tensor

    def __call__(self, layer: Any, values: torch.Tensor) -> torch.Tensor:
        """Returns what to add to the answer of `layer` to `values`."""
        if isinstance(layer, torch.nn.Conv2d):
            inner = functional.conv2d(values, self.down, None, layer.stride, layer.padding, layer.dilation)
            return functional.conv2d(inner, self.up)
        return functional.linear(functional.linear(values, self.down), self.up)


Adapter = Mapping[Any, LowRank]  # by layer


class Adapters:
    """Adapters of the same models, read when first asked for; the ones asked for last stay in memory."""

    def __init__(self, folders: Mapping[str, Path], models: Mapping[str, Any], most: int) -> None:
        """Takes the folders by name, and how many stay at most.

        Args:
            models: what they may change: `unet`, `text_encoder` and, of SDXL, `text_encoder_2`.

        Raises:
            ImagegraphError: a folder holds no adapter's file.
        """
        self._files = {name: _file(folder, name) for name, folder in folders.items()}
        self._models = models
        self._most = most
        self._held: OrderedDict[str, Adapter] = OrderedDict()
        self._lock = Lock()

    @property
    def held(self) -> list[str]:
        """Names of those in memory, the one asked for last at the end."""
        return [*self._held]

    def read(self, name: str) -> Adapter:
        """Returns an adapter; lets go of the one that nobody has asked for the longest.

        Raises:
            ImagegraphError: its file cannot be read, or is for other models.
        """
        with self._lock:
            found = self._held.pop(name, None) or _adapter(self._files[name], name, self._models)
            self._held[name] = found
            while len(self._held) > self._most:
                self._held.popitem(last=False)
            return found


def _file(folder: Path, name: str) -> Path:
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise ImagegraphError(f"adapter '{name}': expected one file *.safetensors in {folder}, got {found}")
    return files[0]


def _adapter(file: Path, name: str, models: Mapping[str, Any]) -> Adapter:
    """Reads a file of peft, diffusers or kohya, by the converters of diffusers."""

    def fault(sentence: str) -> ImagegraphError:
        return ImagegraphError(f"adapter '{name}': {sentence} ({file})")

    try:
        pairs, alphas = _pairs(file, models["unet"].config)
    except (ValueError, KeyError, OSError) as error:
        raise fault(f"cannot be read: {' '.join(str(error).split())[:200]}") from error
    layers = {
        f"{part}.{path}": layer for part, model in models.items() for path, layer in model.named_modules()
    }
    adapter: dict[Any, LowRank] = {}
    for path, pair in pairs.items():
        # Newer text encoders of transformers have no part `text_model` any more.
        layer = layers.get(path) or layers.get(path.replace(".text_model.", "."))
        if layer is None or not hasattr(layer, "weight"):
            raise fault(f"is for other models: these have no layer {path}")
        if set(pair) != {"A", "B"}:
            raise fault(f"holds half a pair for {path}")
        down, up = pair["A"], pair["B"]
        if isinstance(layer, torch.nn.Linear):
            down, up = down.flatten(1), up.flatten(1)
        shapes = (layer.weight.shape[0], *layer.weight.shape[1:])
        if (up.shape[0], *down.shape[1:]) != shapes or up.shape[1] != down.shape[0]:
            raise fault(f"is for other models: {path} is {[*shapes]} here")
        scale = alphas.get(path, len(down)) / len(down)
        adapter[layer] = LowRank(down.to(layer.weight), up.to(layer.weight) * scale)
        _hook(layer)
    return adapter


def _pairs(file: Path, unet_config: Any) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, float]]:
    """Returns the matrices A and B, and alpha where the file says it, by the layer's part and path."""
    from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
    from diffusers.utils.state_dict_utils import (
        StateDictType,
        convert_state_dict_to_peft,
        convert_unet_state_dict_to_peft,
    )
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        keys, said = [*opened.keys()], opened.metadata() or {}
    if odd := next(filter(OTHERS.search, keys), None):
        raise ValueError(f"no plain LoRA, it has {odd}")
    state, alphas = StableDiffusionXLLoraLoaderMixin.lora_state_dict(
        str(file.parent), weight_name=file.name, local_files_only=True, unet_config=unet_config
    )

    def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
        texts = {key: value for key, value in values.items() if key.startswith("text_encoder")}
        others = {key: value for key, value in values.items() if key not in texts}
        old = StateDictType.DIFFUSERS_OLD  # its names are among the others' as well
        return {**convert_unet_state_dict_to_peft(others), **convert_state_dict_to_peft(texts, old)}

    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in renamed(state).items():
        if not (match := PAIR.fullmatch(key)):
            raise ValueError(f"no plain LoRA, it has {key}")
        pairs.setdefault(_placed(match[1]), {})[match[2]] = value
    ends = renamed({key.removesuffix(".alpha"): value for key, value in (alphas or {}).items()})
    found = {_placed(PAIR.sub(r"\1", key)): float(value) for key, value in ends.items()}
    return pairs, _configured(file, said, pairs) | found


def _placed(path: str) -> str:
    """Returns the path of a layer with the part it is in; peft names none, and some old files neither."""
    path = path.removeprefix(PEFT)
    return path if path.startswith(("unet.", "text_encoder.", "text_encoder_2.")) else f"unet.{path}"


def _configured(
    file: Path, said: Mapping[str, str], pairs: Mapping[str, Mapping[str, torch.Tensor]]
) -> dict[str, float]:
    """Returns the alphas that peft's configuration gives, beside the file or by part in its head."""
    beside = file.with_name("adapter_config.json")
    alphas: dict[str, float] = {}
    head = json.loads(said.get("lora_adapter_metadata", "{}"))
    for path, pair in pairs.items():
        part, _, layer = path.partition(".")
        own = {key.partition(".")[2]: one for key, one in head.items() if key.startswith(f"{part}.")}
        config = json.loads(beside.read_text()) if beside.exists() else own
        if config.get("lora_alpha") is None or "A" not in pair:
            continue
        special = [one for key, one in (config.get("alpha_pattern") or {}).items() if layer.endswith(key)]
        alpha = float(special[0] if special else config["lora_alpha"])
        # Rank-stabilised adapters are divided by the root of the rank.
        alphas[path] = alpha * math.sqrt(len(pair["A"])) if config.get("use_rslora") else alpha
    return alphas


@dataclass(frozen=True)
class _Share:
    """An adapter and the rows that have it.

    Attributes:
        rows: indices in the batch; None is all of them.
        strengths: of these rows.
    """

    adapter: Adapter
    rows: torch.Tensor | None
    strengths: torch.Tensor

    def added(self, layer: Any, values: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
        low = self.adapter.get(layer)
        if low is None:
            return answer
        more = low(layer, values if self.rows is None else values[self.rows])
        more = more * self.strengths.view(-1, *[1] * (more.ndim - 1))
        return answer + more if self.rows is None else answer.index_add(0, self.rows, more)


_ACTIVE: ContextVar[Sequence[_Share]] = ContextVar("active adapters", default=())
_HOOKED: WeakSet[Any] = WeakSet()
_HOOKING = Lock()


def _hook(layer: Any) -> None:
    """Makes a layer add what the adapters say that are active where it is called, if any."""

    def add(layer: Any, inputs: tuple[torch.Tensor, ...], answer: torch.Tensor) -> torch.Tensor:
        for share in _ACTIVE.get():
            answer = share.added(layer, inputs[0], answer)
        return answer

    with _HOOKING:  # models may be shared, and each of who share them has adapters
        if layer not in _HOOKED:
            layer.register_forward_hook(add)
            _HOOKED.add(layer)


@contextmanager
def adapted(
    adapters: Mapping[str, Adapter], rows: Sequence[Mapping[str, float]], like: torch.Tensor
) -> Iterator[None]:
    """Lets models compute a batch with adapters: each row with its own, and as it would alone.

    Args:
        adapters: by name, all that the rows have.
        rows: strength by name of the adapters of each row; several are added up.
        like: a tensor of the models' precision, on their device.
    """
    shares = []
    for name, adapter in adapters.items():
        strengths = {row: own[name] for row, own in enumerate(rows) if own.get(name)}
        if strengths:
            everywhere = len(strengths) == len(rows)
            indices = None if everywhere else torch.tensor([*strengths], device=like.device)
            factors = torch.tensor([*strengths.values()], device=like.device, dtype=like.dtype)
            shares.append(_Share(adapter, indices, factors))
    token = _ACTIVE.set(shares)
    try:
        yield
    finally:
        _ACTIVE.reset(token)
