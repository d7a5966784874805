"""What modules of torch answer before they run, to who asks while models are made."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

SYMBOLS = "torch.fx.experimental.symbolic_shapes"
# What `allow_in_graph` was asked for: to be said to the compiler once it is there.
ALLOWED: list[Any] = []


def answers(symbols: Callable[[], ModuleType]) -> dict[str, dict[str, Callable[..., Any]]]:
    """Return what each module answers, by name.

    Libraries write marks for torch's compiler over their functions. Without one they mean nothing; one that
    comes later finds the same as its own decorators would have left. And torch asks of every size and
    condition of a tensor without memory whether it is a symbol, which plain ones are not.

    Args:
        symbols: runs the module of symbols.
    """

    def ask(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*values: Any, **named: Any) -> Any:
            if not named and all(map(_is_plain, values)):
                return answer(*values)
            return getattr(symbols(), name)(*values, **named)

        return asked

    return {
        "torch._dynamo": {
            "allow_in_graph": _allow,
            "assume_constant_result": _mark("_dynamo_marked_constant"),
            "disable": _disable,
        },
        SYMBOLS: {
            "expect_true": ask("expect_true", bool),
            "guard_or_false": ask("guard_or_false", bool),
            "guard_or_true": ask("guard_or_true", bool),
            "is_nested_int": ask("is_nested_int", lambda _: False),
            "statically_known_true": ask("statically_known_true", bool),
            "sym_and": ask("sym_and", lambda *values: functools.reduce(operator.and_, values)),
            "sym_eq": ask("sym_eq", operator.eq),
            "sym_or": ask("sym_or", lambda *values: functools.reduce(operator.or_, values)),
        },
    }


def _is_plain(value: Any) -> bool:
    return type(value) in (bool, int) or (type(value) is tuple and all(map(_is_plain, value)))


def _disable(function: Any = None, *_: Any, **__: Any) -> Any:
    return _mark("_torchdynamo_disable") if function is None else _mark("_torchdynamo_disable")(function)


def _mark(attribute: str) -> Callable[[Any], Any]:
    def mark(function: Any) -> Any:
        setattr(function, attribute, True)
        return function

    return mark


def _allow(function: Any) -> Any:
    ALLOWED.append(function)
    return function
