"""`make run`: reimagines a scene and a photograph, each with the bundle that reads it; paints the latter."""

import argparse
from pathlib import Path

from imagegraph.cli.app import main

EXAMPLES = Path(__file__).parent
BUNDLES = {"scene.png": "pocket", "photo.jpg": "photo"}
PAINTED = "photo.jpg"


def commands(out: Path | None, bundle: str | None) -> list[list[str]]:
    """Returns the commands, which run in one process so that libraries are imported once.

    Args:
        out: folder for a folder of each; by default one in `out` for each.
        bundle: for both pictures, instead of their own; nothing is painted then.
    """

    def command(graph: str, name: str, bundle: str, folder: str) -> list[str]:
        where = ["--out", str(out / folder)] if out else []
        return ["run", graph, str(EXAMPLES / name), "--bundle", bundle, *where]

    reimagine = [command("reimagine", name, bundle or own, Path(name).stem) for name, own in BUNDLES.items()]
    paint = [] if bundle else [command("stylize-fast", PAINTED, BUNDLES[PAINTED], "painted")]
    return reimagine + paint


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--bundle")
    given = parser.parse_args()
    main(*commands(given.out, given.bundle))
