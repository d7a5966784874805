"""The card of a data set: what is in it, where it comes from, what was left out, in the form of the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from imagegraph.counted import counted
from imagegraph.dataset.sources import UNKNOWN, Source

if TYPE_CHECKING:
    from imagegraph.dataset.collect import Collected

ORDER = ("train", "validation", "test")
MOST_NAMED = 50  # of what was left out


def card(sources: Sequence[Source], collected: Collected, lines: Mapping[str, Sequence[Any]]) -> str:
    """Returns a README.md in Markdown with a head in YAML.

    Args:
        lines: by split, the metadata of every picture.
    """
    everything = [line for some in lines.values() for line in some]
    licences = Counter(line["licence"] for line in everything)
    head: dict[str, Any] = {"tags": ["image", "imagegraph"], "size_categories": [_category(len(everything))]}
    if len(licences) == 1 and UNKNOWN not in licences:
        head["license"] = next(iter(licences))
    head["configs"] = [
        {
            "config_name": "default",
            "data_files": [{"split": split, "path": f"{split}/**"} for split in ORDER if split in lines],
        }
    ]
    said = sum(bool(line["text"]) for line in everything)
    parts = [
        "---",
        yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {counted(len(everything), 'picture')}",
        "",
        f"Made by `imagegraph dataset` of {', '.join(f'`{one.name}`' for one in sources)}. "
        f"A text says what is shown on {counted(said, 'picture')}.",
        "",
        *_table("split", "pictures", [(split, len(lines[split])) for split in ORDER if split in lines]),
        "",
        "## Licences",
        "",
        *_table("licence", "pictures", licences.most_common()),
        "",
        _sentence(everything),
        "",
        "## What was left out",
        "",
        f"Of {counted(collected.found, 'picture')} in the sources, {len(everything)} got here.",
        "",
        *_left_out(collected),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _sentence(everything: Sequence[Any]) -> str:
    """Says what is known beyond the sources' own words."""
    owned = sum(bool(line["copyright"]) for line in everything)
    words = f"Who has the copyright is known of {counted(owned, 'picture')}: `copyright` of `metadata.jsonl`."
    known = "A licence is what the source states of itself, or what whoever made this has said."
    return f"{known} {words}"


def _left_out(collected: Collected) -> list[str]:
    named = [f"- `{one.name}`: {one.why}" for one in collected.dropped[:MOST_NAMED]]
    rest = len(collected.dropped) - len(named)
    return [*named, *([f"- and {rest} more"] if rest else [])]


def _table(first: str, second: str, rows: Sequence[tuple[str, int]]) -> list[str]:
    return [f"| {first} | {second} |", "|---|---|", *(f"| {name} | {count} |" for name, count in rows)]


def _category(count: int) -> str:
    """Returns how many there are in the words of the hub."""
    steps = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((words for most, words in steps if count < most), "1M<n<10M")
