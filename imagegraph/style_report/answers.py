"""What was asked and answered of every picture: a row each, as a table in Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

NEEDED = ("in_style", "style_answers", "style_confidences")
_KINDS = {str: "string", int: "int64", float: "double"}


@dataclass(frozen=True)
class Answer:
    """A picture, and what was answered of it.

    Attributes:
        photo: the name of the photo, no two alike.
        architecture: how it was drawn.
        yes: 1 where it is said to be in its style, else 0.
        confidence: how likely yes is, against no.
        picture, source: files of the picture and of the photo, relative to the report's folder.
    """

    photo: str
    architecture: str
    style: str
    prompt: str
    question: str
    seed: int
    yes: int
    confidence: float
    picture: str
    source: str

    @classmethod
    def of_results(
        cls, photo: str, architecture: str, folder: str, facts: Mapping[str, Any]
    ) -> Iterator[Self]:
        """Yields the answers of what a run has written, in the order of the styles.

        Args:
            folder: of the run, relative to the report's.
            facts: its `results.json`.
        """
        pictures = sorted(facts["pictures"], key=lambda one: int(one["picture"]))
        styles = dict.fromkeys(one["in_style"] for one in pictures)
        questions = dict(zip(styles, facts["answer"].get("questions", ()), strict=False))
        source = next((name for name in sorted(facts["files"]) if name.startswith("source-")), "")
        for one in pictures:
            yield cls(
                photo=photo,
                architecture=architecture,
                style=one["in_style"],
                prompt=str(one.get("prompts", "")),
                question=questions.get(one["in_style"], ""),
                seed=int(one.get("seeds", 0)),
                yes=int(one["style_answers"]),
                confidence=float(one["style_confidences"]),
                picture=f"{folder}/{one['file']}",
                source=f"{folder}/{source}" if source else "",
            )


def to_parquet(answers: Sequence[Answer]) -> bytes:
    """Returns the table of answers, a column a field of `Answer`."""
    import pyarrow
    from pyarrow import parquet

    kinds = {"str": str, "int": int, "float": float}
    columns = [(one.name, _KINDS[kinds[str(one.type)]]) for one in fields(Answer)]
    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in columns])
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([asdict(one) for one in answers], schema), buffer)
    return buffer.getvalue()
