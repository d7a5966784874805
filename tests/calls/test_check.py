"""What is refused before the first node runs, and what is not: it may still go well."""

import asyncio
from collections.abc import Container, Mapping
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
import pytest
from pydantic import Field

from imagegraph.calls.check import Check, checked
from imagegraph.calls.check_plan import Walk
from imagegraph.component import Combiner, Component, Router
from imagegraph.engine import walk
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.message import Message
from imagegraph.signature import Signature
from imagegraph.spec.catalogue import Parts
from imagegraph.spec.graph import Node
from imagegraph.wire import tensors
from tests.fake_call import FakeCall

Positive = Annotated[int, Field(gt=0)]


class Depth(TypedDict):
    depth: int
    people: NotRequired[int]


class Reads(Component):
    def predict(self, image: int, strict: bool = False) -> Depth: ...


class Drawn(TypedDict):
    pictures: list[int]
    prompt: str


class Draws(Component):
    def predict(self, prompt: str, depth: int | None = None, steps: Positive = 5) -> Drawn: ...


class Order(TypedDict):
    order: list[int]
    fidelity: NotRequired[float]


class Ranks(Component):
    def predict(
        self, pictures: list[int], rank_by: str = "prompt", image: int | None = None, steps: int = 0
    ) -> Order: ...

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Container[str], roles: Container[str]) -> None:
        assert "pictures" not in known or "pictures" not in coming
        if known["rank_by"] == "image" and known["image"] is None:
            raise InvalidInput("rank_by", "prompt", known["rank_by"])
        if known["rank_by"] not in ("prompt", "image") and known["rank_by"] not in roles:
            raise InvalidInput("rank_by", "prompt or image", known["rank_by"])


class Nothing(TypedDict): ...


class Looks(Component):
    def predict(self, depth: int = 0) -> Nothing: ...


class Passes(Component):
    def predict(self) -> Nothing: ...


class Unites(Combiner): ...


class Averages(Combiner):
    def aggregate(self, answers: Any) -> Any: ...


class Chooses(Router):
    def route(self, image: int = 0) -> int: ...


KINDS = (Reads, Draws, Ranks, Looks, Passes, Unites, Averages, Chooses)
SIGNATURES = {kind.__name__.lower(): Signature.of(kind) for kind in KINDS}
PARTS = {name: Parts({}, frozenset()) for name in SIGNATURES}

READERS = [{"name": "source", "entry": "passes", "type": "TRANSFORMER"}, {"name": "reads"}]
LINE = {
    "name": "ranks",
    "type": "OUTPUT_TRANSFORMER",
    "children": [
        {
            "name": "draws",
            "type": "OUTPUT_TRANSFORMER",
            "children": [{"name": "unites", "type": "COMBINER", "children": READERS}],
        }
    ],
}
WAYS = {
    "name": "chooses",
    "type": "ROUTER",
    "children": [
        {"name": "plain", "entry": "draws"},
        {
            "name": "again",
            "entry": "draws",
            "type": "OUTPUT_TRANSFORMER",
            "children": [{"name": "unites", "type": "COMBINER", "children": READERS}],
        },
    ],
}


def check(root: dict[str, Any], parts: Mapping[str, Parts] = PARTS) -> Check:
    return Check(Node.model_validate(root), SIGNATURES, parts)


GOOD = {"image": 1, "prompt": "red"}


def test_a_right_request_passes_whatever_its_values_came_as() -> None:
    for values in (
        GOOD,
        {name: tensors.of(value) for name, value in GOOD.items()},
        {**GOOD, "rank_by": "image", "steps": 7, "strict": True},
    ):
        check(LINE)(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prompt": "red"}, "node 'reads': image: expected a value, got 'nothing'"),
        ({"image": 1}, "node 'draws': prompt: expected a value, got 'nothing'"),
        ({**GOOD, "image": "x"}, "node 'reads': image: expected a valid integer"),
        ({**GOOD, "steps": 0}, "node 'draws': steps: expected greater than 0, got 0"),
        ({**GOOD, "steps": tensors.of([1, 2])}, "node 'draws': steps: expected one value"),
        ({**GOOD, "steps": 2**63}, "node 'draws': steps: expected a whole number of 64 bits"),
        ({**GOOD, "rank_by": None}, "node 'ranks': rank_by: expected a valid string"),
        (
            {"image": 1, "prompt": "red", "rank_by": "fidelity"},
            "node 'ranks': rank_by: expected prompt or image",
        ),
        ({**GOOD, "depth": "x"}, "node 'reads': depth: expected a valid integer"),
    ],
)
def test_what_a_late_node_would_refuse_is_refused_by_its_name(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check(LINE)(values)
    assert str(refusal.value).startswith(words)


def test_a_value_that_a_node_will_answer_too_is_refused_where_others_read_it() -> None:
    children = [*READERS, {"name": "looks"}]
    with pytest.raises(InvalidInput) as refusal:
        check({"name": "unites", "type": "COMBINER", "children": children})({**GOOD, "depth": 3})
    words = "node 'unites': depth: expected nothing, since node 'reads' answers it too, got 3"
    assert str(refusal.value) == words


def test_a_node_that_is_not_asked_needs_nothing() -> None:
    check(LINE)({"depth": 3, "prompt": "red"})
    with pytest.raises(InvalidInput, match="node 'reads': image: expected a value"):
        check(LINE)({"prompt": "red"})


def test_what_a_node_has_counts() -> None:
    parts = {**PARTS, "ranks": Parts({"rank_by": "fidelity"}, frozenset({"fidelity"}))}
    check(LINE, parts)(GOOD)
    parts["draws"] = Parts({"prompt": "by default"}, frozenset())
    check(LINE, parts)({"image": 1})
    del parts["draws"]  # its bundle is known to its pod alone
    check(LINE, parts)({"image": 1})
    with pytest.raises(InvalidInput, match="steps"):
        check(LINE, parts)({"image": 1, "steps": 0})


def test_what_an_earlier_node_writes_is_not_looked_at() -> None:
    line = {"name": "ranks", "type": "OUTPUT_TRANSFORMER", "children": [{"name": "draws"}]}
    check(line)({"prompt": "red", "pictures": "none of these"})
    with pytest.raises(InvalidInput, match="node 'draws': steps: expected greater"):
        check(line)({"prompt": "red", "steps": -1})


def test_what_a_model_does_not_answer_does_not_come_to_the_nodes_after_it() -> None:
    line = {"name": "draws", "type": "OUTPUT_TRANSFORMER", "children": [{"name": "reads"}]}
    with pytest.raises(InvalidInput, match="node 'draws': prompt: expected a value, got 'nothing'"):
        check(line)(GOOD)


def test_values_that_may_be_equal_and_combiners_of_another_kind_are_left_alone() -> None:
    children = [READERS[0], {"name": "draws", "type": "MODEL"}]
    check({"name": "unites", "type": "COMBINER", "children": children})({"prompt": "red"})
    children = [READERS[0], {"name": "reads"}]
    check({"name": "averages", "type": "COMBINER", "children": children})({"image": 1, "depth": 2})
    # It answers people only now and then.
    check({"name": "unites", "type": "COMBINER", "children": children})({"image": 1, "people": 2})


@pytest.mark.parametrize(
    ("root", "values", "name", "known"),
    [
        (LINE, GOOD, "pictures", True),
        (LINE, GOOD, "image", True),
        (LINE, GOOD, "fidelity", True),
        (LINE, GOOD, "steps", False),
        (LINE, {**GOOD, "steps": 3}, "steps", True),
        (LINE, GOOD, "picture", False),
        (WAYS, GOOD, "depth", True),
        (WAYS, GOOD, "order", False),
        ({"name": "reads"}, GOOD, "depth", True),
        ({"name": "reads"}, GOOD, "image", False),
        ({"name": "reads", "type": "TRANSFORMER"}, GOOD, "image", True),
    ],
)
def test_what_no_answer_can_have_cannot_be_asked_for(
    root: dict[str, Any], values: dict[str, Any], name: str, known: bool
) -> None:
    if known:
        check(root)(values, [name])
    else:
        with pytest.raises(UnknownName, match=f"unknown output '{name}'"):
            check(root)(values, [name])


def test_a_router_refuses_what_all_its_ways_do_and_then_what_the_chosen_one_does() -> None:
    with pytest.raises(InvalidInput, match="node 'plain': prompt: expected a value"):
        check(WAYS)({"image": 1})
    with pytest.raises(InvalidInput, match="node 'chooses': image: expected a valid integer"):
        check(WAYS)({**GOOD, "image": "x"})
    values = {**GOOD, "depth": 3}
    check(WAYS)(values)

    async def run(choice: int) -> list[str]:
        functions = {
            "chooses": lambda message: choice,
            "plain": lambda message: message,
            "source": lambda message: message,
            "reads": lambda message: message,
            "unites": lambda messages: messages[0],
            "again": lambda message: message,
        }
        call = FakeCall(functions)
        try:
            await walk.run(check(WAYS).root, Message(values), checked(call, check(WAYS)))
        except InvalidInput as error:
            return [name for name, _ in call.calls] + [str(error)]
        return [name for name, _ in call.calls]

    assert asyncio.run(run(0)) == ["chooses", "plain"]
    assert asyncio.run(run(1)) == ["chooses", "source", "unites", "again"]
    assert asyncio.run(run(-2)) == ["chooses"]


def test_a_graph_without_routers_and_readers_has_nothing_to_check_on_its_way() -> None:
    call = FakeCall({})
    assert checked(call, check({"name": "draws"})) is call


def test_values_are_read_once_for_all_nodes_with_the_same_type(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    port = type(SIGNATURES["reads"].inputs["image"])
    original = port.read
    monkeypatch.setattr(port, "read", lambda self, value: (reads.append(self.name), original(self, value))[1])
    children = [{"name": f"reads-{number}", "entry": "reads"} for number in range(5)]
    check({"name": "averages", "type": "COMBINER", "children": children})({"image": np.int64(1).item()})
    assert reads == ["image"]


@pytest.mark.parametrize("value", [["x"] * 2000, "x" * 100_000, tensors.of(["x"] * 2000)])
def test_what_takes_long_to_read_keeps_nobody_waiting(value: Any) -> None:
    import threading

    threads: list[bool] = []

    class Noted(Check):
        def __call__(self, *arguments: Any) -> None:
            threads.append(threading.current_thread() is threading.main_thread())

    async def main() -> None:
        noted = Noted(Node(name="reads"), SIGNATURES, PARTS)
        await noted.message(Message({"image": value}))
        await noted.message(Message({"image": 1}))

    asyncio.run(main())
    assert threads == [False, True]


def test_the_way_is_followed_once_for_each_set_of_known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[str] = []
    follow = Walk._follow
    monkeypatch.setattr(
        Walk, "_follow", lambda self, node, known: (followed.append(node.name), follow(self, node, known))[1]
    )
    line = check({"name": "draws", "type": "MODEL"})
    for number in range(3):
        line({"prompt": "red", f"a stranger's {number}": number})
        line({"prompt": "red", "steps": number + 1}, ["pictures"])
        with pytest.raises(InvalidInput, match="node 'draws': prompt: expected a value"):
            line({"steps": number + 1})
    assert followed == ["draws"] * 3


def test_what_nobody_reads_may_be_asked_for_where_it_is_passed_on() -> None:
    passes = {"name": "reads", "type": "TRANSFORMER"}
    check(passes)({"image": 1, "other": 2}, ["other"])
    with pytest.raises(UnknownName, match="unknown output 'other'"):
        check({"name": "reads"})({"image": 1, "other": 2}, ["other"])


def test_refusals_of_one_plan_are_not_one_error() -> None:
    line, refusals = check(LINE), []
    for _ in range(2):
        with pytest.raises(InvalidInput) as refusal:
            line({"prompt": "red"})
        refusals.append(refusal.value)
    assert refusals[0] is not refusals[1]
