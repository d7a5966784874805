"""`python -m model_init`, as the image runs it."""

from model_init.cli import main

main()
