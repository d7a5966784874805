"""`make run`: reimagines the scene and the photograph, each with the bundle that can read it."""

import argparse
from pathlib import Path

from imagegraph.cli.app import main

EXAMPLES = Path(__file__).parent
BUNDLES = {"scene.png": "pocket", "photo.jpg": "photo"}


def commands(out: Path | None, bundle: str | None) -> list[list[str]]:
    """Returns the commands, which run in one process so that libraries are imported once.

    Args:
        out: folder for a folder of each picture; by default one in `out` for each run.
        bundle: for both pictures, instead of their own.
    """
    return [
        ["run", "reimagine", str(EXAMPLES / name), "--bundle", bundle or own]
        + (["--out", str(out / Path(name).stem)] if out else [])
        for name, own in BUNDLES.items()
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--bundle")
    given = parser.parse_args()
    main(*commands(given.out, given.bundle))
