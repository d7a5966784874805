"""Values that stand in files of their own, as styles and ways to steer do: YAML or JSON, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic

from imagegraph.cli.photos import is_there
from imagegraph.ports import Port
from imagegraph.spec import strict_yaml

ENDINGS = (".yaml", ".yml", ".json")


def names_one(port: Port, text: str) -> bool:
    """Whether a text is the name of a file for a port that takes JSON, which no JSON looks like."""
    if port.content_type != "application/json":
        return False
    return text.lower().endswith(ENDINGS) or (bool(text) and is_there(Path(text).expanduser()))


def read(port: Port, text: str) -> Any:
    """Returns the value of a port that a file holds.

    Raises:
        InvalidDocument: with file and line: not there, or not what the port takes.
    """
    document = strict_yaml.load(Path(text).expanduser())
    model: type[pydantic.RootModel[Any]] = pydantic.RootModel[port.annotation]  # type: ignore[name-defined]
    strict_yaml.checked(document.data, model, [document])
    return document.data
