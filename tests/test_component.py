import sys
import time
import types
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import Field

from imagegraph.component import Combiner, Component, Progress, Reader, Router, Weights
from imagegraph.errors import Cancelled, DeadlineExceeded, InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.ports import Prompt, Unit
from imagegraph.signature import Signature


class Drawn(TypedDict):
    pictures: list[Image]
    seeds: list[int]


class Draw(Component):
    def predict(
        self,
        progress: Progress,
        prompt: Prompt,
        image: Image | None = None,
        steps: Annotated[int, Field(ge=1, le=200, description="Denoising steps")] = 30,
        strength: Unit = 0.5,
        mode: Literal["fast", "good"] = "good",
    ) -> Drawn:
        return {"pictures": [], "seeds": []}


class Way(Router):
    def route(self, prompt: str) -> int:
        return 0


def test_a_signature_has_outputs_progress_and_descriptions():
    signature = Signature.of(Draw())
    assert list(signature.outputs) == ["pictures", "seeds"]
    assert signature.progress == "progress"
    assert list(signature.inputs) == ["prompt", "image", "steps", "strength", "mode"]
    assert [port.required for port in signature.inputs.values()] == [True, False, False, False, False]
    assert list(Signature.of(Way).inputs) == ["prompt"]
    assert Signature.of(Combiner) == Signature({}, {})
    with pytest.raises(UnknownName, match="unknown port 'step'. *Did you mean 'steps'"):
        signature.port("step")


def test_a_signature_needs_annotations():
    class Bare(Component):
        def predict(self, image): ...

    class NoAnswer(Component):
        def predict(self, image: Image) -> dict: ...

    with pytest.raises(TypeError, match="parameter 'image' has no annotation"):
        Signature.of(Bare)
    with pytest.raises(TypeError, match="(return|answer) a TypedDict"):
        Signature.of(NoAnswer)


def test_a_reader_without_a_measure_is_refused_before_it_reads():
    class Mute(Reader): ...

    with pytest.raises(TypeError, match="abstract.*fidelity"):
        Mute()


def test_binding_takes_the_value_then_the_entrys_default_then_the_signatures():
    signature = Signature.of(Draw)
    bound = signature.bind({"prompt": "a", "steps": 3, "else": object()}, {"steps": 4, "strength": 0.1})
    assert (bound["prompt"], bound["steps"], bound["strength"], bound["mode"]) == ("a", 3, 0.1, "good")
    assert not {"else", "progress"} & bound.keys()
    with pytest.raises(InvalidInput, match="prompt: expected a value, got 'nothing'"):
        signature.bind({})


def test_a_combiner_unites_answers_by_default():
    assert Combiner().aggregate([Message({"a": 1}), Message({"b": 2})]) == {"a": 1, "b": 2}


def test_progress_reports_and_stops_work_nobody_waits_for():
    heard: list[Any] = []
    progress = Progress(lambda *report: heard.append(report))
    progress(1, 2)
    assert heard == [(1, 2, None)]
    progress.cancel()
    with pytest.raises(Cancelled):
        progress(2, 2)
    with pytest.raises(DeadlineExceeded):
        Progress(deadline=time.monotonic() - 1).check()


def test_weights_are_a_mapping_of_roles(tmp_path):
    weights = Weights({"base": tmp_path}, "cpu")
    assert (dict(weights), len(weights), "vae" in weights) == ({"base": tmp_path}, 1, False)


class Collect(Component):
    def predict(self, words: list[str] = [], sizes: dict[str, int] = {}) -> Drawn: ...  # noqa: B006


def test_what_a_component_does_to_a_default_is_forgotten():
    for _ in range(2):
        arguments = Signature.of(Collect).bind({})
        assert arguments == {"words": [], "sizes": {}}
        arguments["words"].append("a")
        arguments["sizes"]["a"] = 1


def test_a_device_that_torch_does_not_find_is_named(monkeypatch):
    def empty(size: int, device: str) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(empty=empty))
    assert Weights({}, "cpu").device == "cpu"
    with pytest.raises(
        InvalidInput, match="device: expected cpu, auto, or one that torch finds here, got 'cuda:3'"
    ):
        Weights({}, "cuda:3").device  # noqa: B018
