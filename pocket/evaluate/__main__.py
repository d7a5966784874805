"""Measure, write, say what falls short."""

import time

from pocket.evaluate.floors import FLOORS
from pocket.evaluate.measures import evaluate
from pocket.evaluate.report import write_cards, write_quality
from pocket.samples import write_samples
from pocket.training import HERE


def main() -> None:
    """Measure, write, say what falls short."""
    start = time.perf_counter()
    scores = evaluate()
    write_quality(scores, HERE / "QUALITY.md")
    write_cards(scores)
    write_samples(HERE / "samples.png")
    print((HERE / "QUALITY.md").read_text())
    for name, floor in FLOORS.items():
        value = scores[name]["seen"].value
        if not floor.holds(value):
            print(f"BELOW ITS FLOOR: {name} {value:.3f}, wanted {floor}")
        elif floor.short_of_goal(value):
            print(f"short of its goal: {name} {value:.3f}, wanted {floor}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
