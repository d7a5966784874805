"""The request itself, as one of a combiner's children."""

from __future__ import annotations

from typing import TypedDict

from imagegraph.component import Component


class Nothing(TypedDict):
    """No ports of its own."""


class Source(Component):
    """Echoes the request, so that photo, prompt and seeds survive a fan-out.

    As a TRANSFORMER it passes on all that it does not read, which is everything.
    """

    inline = True

    def predict(self) -> Nothing:
        """Adds nothing."""
        return {}
