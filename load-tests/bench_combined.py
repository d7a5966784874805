"""How strongly each prior should steer in the picture that all of them steer.

    python load-tests/bench_combined.py [--scenes 24]

Held-out scenes of the pocket world are read, and drawn again under their first 1, 2, 3, … priors at once,
at every factor of the ControlNets' strengths. Scored are the pictures as the product ranks them: CLIP
against the caption, and the mean fidelity to the priors that steered. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys

from imagegraph.calls.in_process import LocalCall
from imagegraph.engine import walk
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.spec.catalogue import ROOT, Catalogue
from imagegraph.spec.graph import Node, NodeType

sys.path.insert(0, str(ROOT))
from components.plan import COMBINED
from pocket.world import make_scene

FACTORS = (1.0, 0.8, 0.65, 0.5, 0.35, 0.25)
DRAW = Node(
    name="rank",
    entry="rank",
    type=NodeType.OUTPUT_TRANSFORMER,
    children=(Node(name="generate", entry="generate", type=NodeType.TRANSFORMER),),
)


async def measure(scenes: int) -> dict[tuple[int, float], list[tuple[float, float]]]:
    """Returns (CLIP, fidelity) of every scene, by the number of priors and the factor."""
    catalogue = Catalogue.read()
    interpret = catalogue.graph("interpret").root
    controls = catalogue.signatures(DRAW, "pocket")["generate"].opened
    entries = [*catalogue.needed(interpret), *catalogue.needed(DRAW)]
    scores: dict[tuple[int, float], list[tuple[float, float]]] = {}
    with LocalCall(catalogue, "pocket", entries, "cpu") as call:
        await call.ready()
        for index in range(scenes):
            scene = make_scene(index, "validation")
            photo = Message({"image": Image.from_array(scene.image)})
            read = (await walk.run(interpret, photo, call)).values
            priors = [name for name in catalogue.priors if name in controls and name in read]
            for count in range(1, len(priors) + 1):
                others = priors[count:]
                asked = {"prompt": scene.caption, "seed": index}
                asked["priors"] = [COMBINED if count > 1 else priors[0]]
                given = {name: one for name, one in read.items() if name not in others}
                for factor in FACTORS if count > 1 else FACTORS[:1]:  # one alone is never weakened
                    request = Message({**given, **asked, "combined_strength": factor})
                    answer = (await walk.run(DRAW, request, call)).values
                    score = answer["clip_prompt"][0], answer["fidelity"][0]
                    scores.setdefault((count, factor), []).append(score)
    return scores


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=24)
    scores = asyncio.run(measure(parser.parse_args().scenes))
    counts = sorted({count for count, _ in scores})
    print("CLIP to the caption / mean fidelity to the priors, by the factor of every strength:\n")
    print(f"| priors | {' | '.join(f'{factor:g}' for factor in FACTORS)} |")
    print(f"|---|{'---|' * len(FACTORS)}")
    for count in counts:
        cells = []
        for factor in FACTORS:
            rows = scores.get((count, factor))
            cells.append(
                " / ".join(f"{statistics.mean(column):.3f}" for column in zip(*rows, strict=True))
                if rows
                else ""
            )
        print(f"| {count} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
