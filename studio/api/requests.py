"""Reads what a client sends to be run: JSON, or a form with files."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic
from fastapi import Request
from starlette.datastructures import UploadFile

from imagegraph.errors import InputTooLarge, InvalidInput, UnknownName
from studio.api import shapes, uploads
from studio.api.context import Studio
from studio.backends.backend import Described
from studio.problems import Refused, expectation
from studio.store import gallery

MOST_FILES, MOST_FIELDS = 64, 256
MOST_PICTURES = 256  # in one request
MOST_BYTES = 2**20  # of all inputs, pictures aside


@dataclass
class Asked:
    """A job that is asked for.

    Attributes:
        inputs: as they are stored, pictures as references.
        sources: hashes of these by their ids.
    """

    inputs: dict[str, Any]
    bundle: str | None
    sources: dict[str, str] = field(default_factory=dict)


async def body(request: Request) -> tuple[dict[str, Any], str | None]:
    """Returns the inputs of a request as they came, files as bytes, and the bundle.

    Raises:
        InvalidInput, Refused: it cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _form(request)
    if kind not in ("application/json", ""):
        raise Refused(415, f"expected application/json or multipart/form-data, got {kind[:80]!r}")
    try:
        said = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput("body", "JSON", str(error)) from error
    try:
        asked = shapes.NewJob.model_validate(said)
    except pydantic.ValidationError as error:
        raise _first_fault(error) from error
    return _cleaned(asked.inputs), asked.bundle


async def _form(request: Request) -> tuple[dict[str, Any], str | None]:
    inputs: dict[str, Any] = {}
    async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=2**20) as form:
        bundle = form.get("bundle")
        if "inputs" in form:
            said = _json("inputs", str(form["inputs"]))
            if not isinstance(said, dict):
                raise InvalidInput("inputs", "a JSON object", said)
            inputs.update(said)
        for name in dict.fromkeys(form):
            if name in ("bundle", "inputs"):
                continue
            values = [await _value(one) for one in form.getlist(name)]
            inputs[name] = values if len(values) > 1 else values[0]
    return _cleaned(inputs), str(bundle) if bundle else None


def _cleaned(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        shapes.clean_json(name, "a name of an input"): shapes.clean_json(value, name)
        for name, value in inputs.items()
    }


async def _value(one: UploadFile | str) -> Any:
    return await one.read() if isinstance(one, UploadFile) else one


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(name, "JSON", str(error)) from error


def resolve(studio: Studio, known: Described, said: Mapping[str, Any], owner: str) -> Asked:
    """Returns inputs with their pictures in the store: brought along, by id, or as base64.

    Raises:
        InvalidInput, UnknownName: with the name of the input.
    """
    kinds = {one.name: one.kind for one in known.inputs}
    asked = Asked({}, None)
    for name, value in said.items():
        kind = kinds.get(name)
        if kind is None:
            raise UnknownName("input", name, kinds)
        if value is None:
            continue
        if kind in ("image", "images"):
            items = value if isinstance(value, list) else [value]
            if len(items) > MOST_PICTURES:
                raise InvalidInput(name, f"at most {MOST_PICTURES} pictures", f"{len(items)}")
            found = [_reference(studio, asked, one, name, owner) for one in items]
            asked.inputs[name] = found if kind == "images" or isinstance(value, list) else found[0]
        elif any(isinstance(one, bytes) for one in (value if isinstance(value, list) else [value])):
            raise InvalidInput(name, "no file, as it is no picture", "a file")
        elif kind == "texts" and isinstance(value, str):
            asked.inputs[name] = [value]
        elif kind not in ("text", "choice") and isinstance(value, str):
            asked.inputs[name] = _json(name, value)  # from a form
        else:
            asked.inputs[name] = value
    size = len(json.dumps(asked.inputs))
    if size > MOST_BYTES:  # they are kept with the job, and shown in every list of jobs
        raise InputTooLarge("inputs", f"at most {MOST_BYTES} bytes as JSON beside pictures", f"{size}")
    return asked


def _reference(studio: Studio, asked: Asked, value: Any, name: str, owner: str) -> dict[str, str]:
    """Returns a reference to a picture of the store, which is put there if it was brought along."""
    data: bytes | None = None
    if isinstance(value, bytes):
        data = value
    elif isinstance(value, dict) and value.keys() == {"picture"} and isinstance(value["picture"], str):
        with studio.database.read() as session:
            row = gallery.find(session, value["picture"])
        asked.sources[row.id] = row.hash
        return {"picture": row.id}
    elif isinstance(value, str) and value.startswith("{"):  # from a form
        return _reference(studio, asked, _json(name, value), name, owner)
    elif isinstance(value, str):
        data = from_base64(value, name)
    if data is None:
        raise InvalidInput(name, 'a picture: {"picture": its id}, base64 or a file', value)
    row = uploads.keep(studio, data, owner, name)
    asked.sources[row.id] = row.hash
    return {"picture": row.id}


def from_base64(text: str, name: str) -> bytes:
    """Returns the bytes of base64, with or without a `data:` prefix.

    Raises:
        InvalidInput: it is none; an address is not fetched.
    """
    payload = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(payload.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(name, "a picture as base64, no address and no path", text) from error


def _first_fault(error: pydantic.ValidationError) -> InvalidInput:
    detail = error.errors(include_url=False)[0]
    return InvalidInput(".".join(map(str, detail["loc"])) or "body", expectation(detail), detail["input"])
