"""Measure, write, say what falls short."""

import argparse
import time

from pocket.evaluate.floors import FLOORS
from pocket.evaluate.measures import ALONE, MEASURES, evaluate
from pocket.evaluate.report import write_cards, write_quality
from pocket.samples import write_samples
from pocket.training import HERE


def main() -> None:
    """Measure, write, say what falls short."""
    every = [*MEASURES, *ALONE]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("some", nargs="*", metavar="MEASURE", help=f"some of {', '.join(every)}")
    some = parser.parse_args().some
    if unknown := set(some) - set(every):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    start = time.perf_counter()
    scores = evaluate(some=some or every)
    write_quality(scores, HERE / "QUALITY.md", keep=bool(some))
    write_cards(scores)
    if not some:
        write_samples(HERE / "samples.png")
    print((HERE / "QUALITY.md").read_text())
    for name, floor in FLOORS.items():
        if name not in scores:
            continue
        value = scores[name]["seen"].value
        if not floor.holds(value):
            print(f"BELOW ITS FLOOR: {name} {value:.3f}, wanted {floor}")
        elif floor.short_of_goal(value):
            print(f"short of its goal: {name} {value:.3f}, wanted {floor}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
