"""`python -m imagegraph.cli`."""

from imagegraph.cli.app import main

main()
