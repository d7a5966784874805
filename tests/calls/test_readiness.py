"""Whether a predictor can be asked, told from the answers of its pods."""

import asyncio
from collections.abc import Sequence

import pytest

from imagegraph.calls import readiness
from imagegraph.calls.readiness import Watch


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PROBE_S", 0)
    monkeypatch.setattr(readiness, "AGAIN_S", 0)


def told(answers: Sequence[list[str]], *, up: bool) -> tuple[list[bool], Watch]:
    """Returns what a watch tells while the pods answer one after the other, the last for ever."""
    changes: list[bool] = []

    async def main() -> Watch:
        left = list(answers)
        end = asyncio.Event()

        async def unready() -> list[str]:
            if len(left) > 1:
                return left.pop(0)
            end.set()
            return left[0]

        watched = Watch("canary", unready, lambda name, value: changes.append(value), up=up)
        watched.start()
        await end.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        watched.stop()
        return watched

    return changes, asyncio.run(main())


GOOD: list[str] = []
BAD = ["edges"]


@pytest.mark.parametrize(
    ("answers", "up", "changes"),
    [
        ([GOOD], True, [True]),
        ([GOOD], False, [False, True]),
        ([BAD], False, [False]),
        ([BAD], True, [True, False]),
        ([GOOD, BAD, BAD, GOOD], True, [True]),  # as when a pod goes and another is there
        ([GOOD, BAD, BAD, BAD, GOOD], True, [True, False, True]),
    ],
)
def test_a_predictor_is_down_after_three_misses_and_up_at_once(
    answers: list[list[str]], up: bool, changes: list[bool]
) -> None:
    seen, watched = told(answers, up=up)
    assert seen == changes
    assert watched.up == changes[-1]
    assert bool(watched.trouble) != watched.up


def test_the_trouble_names_the_nodes() -> None:
    _, watched = told([["edges", "depth"]], up=True)
    assert watched.trouble == "no pod is ready of edges, depth"
