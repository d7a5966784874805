"""Components that only these tests have."""

from imagegraph.component import Router


class Astray(Router):
    """Chooses a child that is not there."""

    def route(self, number: int) -> int:
        return number
