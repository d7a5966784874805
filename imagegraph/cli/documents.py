"""Values that stand in files of their own, as styles and ways to steer do: YAML or JSON, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic

from imagegraph.cli.photos import is_there
from imagegraph.errors import InvalidInput
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
        InvalidInput: there is no such file, or no text in it.
        InvalidDocument: with file and line: not what the port takes.
    """
    path = Path(text).expanduser()
    try:
        said = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidInput(port.name, "a file in YAML or JSON", f"{path} ({why})") from error
    document = strict_yaml.compose(said, str(path))
    model: type[pydantic.RootModel[Any]] = pydantic.RootModel[port.annotation]  # type: ignore[name-defined]
    strict_yaml.checked(document.data, model, [document])
    return document.data
