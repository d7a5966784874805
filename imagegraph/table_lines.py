"""Tables as people write them: CSV with a head, or an object of JSON a line; errors name the line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagegraph.errors import InvalidInput


def read(path: Path, field: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number of each line with values, and those by column.

    Args:
        field: that names the table, where there is none.

    Raises:
        InvalidInput: the file cannot be read, or a line of it.
    """
    try:
        with path.expanduser().open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                rows = csv.DictReader(file, strict=True)
                for row in rows:
                    if None in row:
                        expected = "as many values as there are columns"
                        raise InvalidInput(f"{path}, line {rows.line_num}", expected, "more")
                    yield rows.line_num, row
                return
            for number, line in enumerate(file, 1):
                if line.strip():
                    said = json.loads(line)
                    if not isinstance(said, dict):
                        raise InvalidInput(f"{path}, line {number}", "a JSON object", said)
                    yield number, said
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path}, line {number}", f"a JSON object ({error})", line) from error
    except csv.Error as error:
        raise InvalidInput(
            f"{path}, line {rows.reader.line_num}", f"a CSV file ({error})", "another"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(str(path), "text in UTF-8", f"{error}") from error
    except OSError as error:
        raise InvalidInput(field, "a table that can be read", f"{path} ({error.strerror})") from error
