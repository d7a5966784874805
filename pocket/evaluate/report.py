"""Write what was measured: QUALITY.md and the model cards."""

from pathlib import Path

from pocket.bundle import CONTROLS
from pocket.evaluate.floors import FLOORS, Score
from pocket.evaluate.held_out import HELD_OUT
from pocket.training import write_quality_section

# What is drawn is measured here and not where it was trained.
CARDS = {"text to image": "stable-diffusion"} | {
    f"control by {kind}": f"controlnet-{kind}" for kind in CONTROLS
}


def write_quality(scores: dict[str, dict[str, Score]], path: Path, keep: bool = False) -> None:
    """Write the table.

    Args:
        scores: by measure and split.
        path: of the file.
        keep: whether its rows of other measures stay.
    """
    rows = {row.split("|")[1].strip(): row for row in path.read_text().splitlines()[6:]} if keep else {}
    rows |= {name: _row(name, by_split) for name, by_split in scores.items()}
    names = sorted(rows, key=lambda n: list(FLOORS).index(n) if n in FLOORS else len(FLOORS))
    path.write_text(
        "# How good the pocket models are\n\n"
        "Written by `make pocket-eval` (`pocket/evaluate/`); do not edit. Measured on scenes that "
        "training did not see: `seen` has its pairs of colour and shape, `unseen` has others. Floors "
        "hold for `seen`. The ceiling is what the same judge says of real scenes (for edges: of real "
        "scenes that went through the VAE).\n\n"
        "| measure | seen | unseen | floor | ceiling |\n|---|---|---|---|---|\n"
        + "\n".join(rows[name] for name in names)
        + "\n"
    )


def _row(name: str, by_split: dict[str, Score]) -> str:
    ceiling = by_split["seen"].ceiling if "seen" in by_split else None
    cells = [f"{by_split[s].value:.3f}" if s in by_split else "" for s in HELD_OUT]
    cells += [str(FLOORS.get(name, "")), "" if ceiling is None else f"{ceiling:.3f}"]
    return f"| {name} | {' | '.join(cells)} |"


def write_cards(scores: dict[str, dict[str, Score]]) -> None:
    """Put the figures of what is drawn into the model cards."""
    for start, folder in CARDS.items():
        quality: dict[str, str | float] = {
            f"{name}, {split}": score.value
            for name, by_split in scores.items()
            if name.startswith(start)
            for split, score in by_split.items()
        }
        if quality:
            write_quality_section(folder, quality)
