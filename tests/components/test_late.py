"""Imports that wait: fast until something is used, and then the thing itself."""

import subprocess
import sys

import pytest

from imagegraph.spec.catalogue import ROOT

# In a process of their own: here somebody may have used any of it.
USES = {
    "a function": """
        from scipy.optimize import linear_sum_assignment
        rows, columns = linear_sum_assignment([[4, 1], [2, 5]])
        assert columns.tolist() == [1, 0]
    """,
    "a class": """
        from controlnet_aux import CannyDetector
        import numpy
        assert CannyDetector()(numpy.zeros((64, 64, 3), numpy.uint8), detect_resolution=64).shape[2] == 3
    """,
    "a class to derive from": """
        from scipy.optimize import OptimizeResult
        class Mine(OptimizeResult): pass
        assert isinstance(Mine(), OptimizeResult) and issubclass(Mine, OptimizeResult)
    """,
    "a class of a module beneath": """
        from torchvision.models import VGG
        from torchvision.models.vgg import vgg11
        assert isinstance(vgg11(), VGG) and isinstance(vgg11(), int | VGG) and not isinstance(1, VGG | None)
    """,
    "a name that is not there": """
        from scipy.optimize import nothing
        try:
            nothing()
        except AttributeError as error:
            assert "scipy.optimize" in str(error)
        else:
            raise AssertionError
    """,
    "a value": """
        import scipy.stats
        assert abs(scipy.stats.norm.cdf(0) - 0.5) < 1e-9
        assert "norm" in scipy.stats.__all__
    """,
    "torch's compiler": """
        import torch, transformers.generation.utils
        @torch.compiler.disable
        def apart(x): return x + 1
        @torch.compile(backend="eager")
        def twice(x): return apart(x) * 2
        assert twice(torch.ones(2)).tolist() == [4, 4]
        assert isinstance(torch.compile(torch.nn.Identity()), torch._dynamo.eval_frame.OptimizedModule)
        assert torch._dynamo.disable is not apart and torch._dynamo.config.cache_size_limit > 0
    """,
    "tensors over machines": """
        import torch
        from torch.distributed.tensor import DTensor, Replicate
        from transformers.distributed.utils import is_dtensor
        assert not is_dtensor(torch.ones(1)) and not isinstance(torch.ones(1), DTensor)
        assert Replicate() == Replicate()
    """,
}


def run(code: str) -> str:
    lines = [line.removeprefix(" " * 8) for line in code.splitlines()]
    script = "\n".join(["import components", *lines])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("use", USES)
def test_what_waits_is_the_thing_itself_once_it_is_used(use: str) -> None:
    run(USES[use])


def test_a_reader_loads_without_what_others_need() -> None:
    code = """
        import sys
        from pathlib import Path
        from components.depth import Depth
        from imagegraph.component import Weights
        Depth(128).load(Weights({"model": Path("pocket/weights/depth")}, "cpu"))
        print(*(name for name in sys.modules))
    """
    loaded = set(run(code).split())
    assert "torch" in loaded
    assert not {"sympy", "torch._dynamo.symbolic_convert", "scipy.optimize._optimize", "timm"} & loaded


def test_edges_load_without_torch() -> None:
    loaded = run("""
        import sys
        from components.edges import Edges
        Edges(128).load({})
        print(*(name for name in sys.modules))
    """).split()
    assert "cv2" in loaded
    assert not {"torch", "scipy", "controlnet_aux"} & set(loaded)
