"""From the inputs of a job, as they are stored, to what a graph takes; and from its answers to JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pydantic_core

from imagegraph.image import Image
from studio.store.contents import Kept

MOST_BYTES = 2**14  # of a value in an event, as JSON; of larger ones only the form is told
MOST_OF_RESULT = 2**22  # of a value in a job's result


def read(
    inputs: Mapping[str, Any], sources: Mapping[str, str], fetch: Callable[[str], bytes]
) -> dict[str, Any]:
    """Returns the values for a graph, with the pictures that the inputs refer to.

    Args:
        sources: hashes of pictures by their ids.
        fetch: returns bytes by hash.
    """

    def value(one: Any) -> Any:
        if isinstance(one, list) and one and all(map(is_reference, one)):
            return [value(item) for item in one]
        return Image(fetch(sources[one["picture"]])) if is_reference(one) else one

    return {name: value(one) for name, one in inputs.items()}


def is_reference(value: Any) -> bool:
    """Whether a value is a picture of the store, {"picture": id}."""
    return isinstance(value, Mapping) and value.keys() == {"picture"} and isinstance(value["picture"], str)


def references(inputs: Mapping[str, Any]) -> list[str]:
    """Returns the ids of all pictures that inputs refer to."""
    items = [item for one in inputs.values() for item in (one if isinstance(one, list) else [one])]
    return [one["picture"] for one in items if is_reference(one)]


def told(value: Any, kept: Mapping[str, Kept], most: int = MOST_BYTES) -> Any:
    """Returns an answer's value as JSON says it, its pictures as URLs.

    Args:
        kept: of every picture that is in the storage, what is known of it, by the `id` of its Image.
    """
    if isinstance(value, Image):
        return link(kept[str(id(value))]) if str(id(value)) in kept else None
    if isinstance(value, list) and value and all(isinstance(one, Image) for one in value):
        return [told(one, kept) for one in value]
    if isinstance(value, np.ndarray) and value.size > most / 2:
        return {"array": {"dtype": str(value.dtype), "shape": list(value.shape)}}
    plain = pydantic_core.to_jsonable_python(
        value, fallback=_foreign, bytes_mode="base64", inf_nan_mode="null"
    )
    plain = _finite(plain)
    length = len(pydantic_core.to_json(plain))
    return {"omitted": {"bytes": length}} if length > most else plain


def link(one: Kept) -> dict[str, Any]:
    """Returns where a picture of the storage is found."""
    url = f"/api/contents/{one.hash}"
    return {
        "hash": one.hash,
        "url": url,
        "thumbnail": f"{url}?size=256",
        "width": one.width,
        "height": one.height,
    }


def images(value: Any) -> list[Image]:
    """Returns the pictures in a value."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Image)]


def _foreign(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else repr(value)


def _finite(value: Any) -> Any:
    """Replaces what JSON has no number for."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return {key: _finite(one) for key, one in value.items()} if isinstance(value, dict) else value
