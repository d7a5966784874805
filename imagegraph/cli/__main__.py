"""`imagegraph` and `python -m imagegraph.cli`: whoever interrupts them early sees no traceback, either."""

import sys


def main() -> None:
    """Runs the command of `sys.argv`; what it needs is imported here, which takes a second."""
    try:
        from imagegraph.cli.app import main as program

        program()
    except KeyboardInterrupt:
        sys.exit(130)  # `app.INTERRUPTED`, which may not be there yet


if __name__ == "__main__":
    main()
