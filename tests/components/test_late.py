"""Imports that wait: fast until something is used, and then the thing itself."""

import subprocess
import sys

import pytest

from imagegraph.spec.catalogue import ROOT

# In processes of their own: here somebody may have used any of it.
USES = {
    "scipy": """
        from scipy.optimize import OptimizeResult, linear_sum_assignment, nothing

        # A name that is not there.
        try:
            nothing()
        except AttributeError as error:
            assert "scipy.optimize" in str(error)
        else:
            raise AssertionError

        # A function, and a class to derive from.
        assert linear_sum_assignment([[4, 1], [2, 5]])[1].tolist() == [1, 0]
        class Mine(OptimizeResult): pass
        assert isinstance(Mine(), OptimizeResult) and issubclass(Mine, OptimizeResult)

        # A value, first used by several threads at once.
        import concurrent.futures
        import scipy.stats
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: scipy.stats.norm.cdf(0), range(4)))
        assert [abs(one - 0.5) < 1e-9 for one in found] == [True] * 4
        assert "norm" in scipy.stats.__all__
    """,
    "models and detectors": """
        from torchvision.models import VGG
        from torchvision.models.vgg import vgg11
        assert isinstance(vgg11(), VGG) and isinstance(vgg11(), int | VGG) and not isinstance(1, VGG | None)

        from controlnet_aux import CannyDetector
        import numpy
        assert CannyDetector()(numpy.zeros((64, 64, 3), numpy.uint8), detect_resolution=64).shape[2] == 3
    """,
    "torch": """
        import torch, transformers.generation.utils
        from torch.distributed.tensor import DTensor, Replicate
        from torch.fx.experimental.symbolic_shapes import ShapeEnv, guard_or_false, is_nested_int, sym_eq
        from transformers.distributed.utils import is_dtensor

        # Tensors over machines.
        assert not is_dtensor(torch.ones(1)) and not isinstance(torch.ones(1), DTensor)
        assert Replicate() == Replicate()

        # Modules beneath, which run once.
        from sympy.core import Symbol
        import sympy, sympy.core.symbol
        assert sympy.core.symbol.Symbol is Symbol is sympy.Symbol
        from torch.distributed.tensor.parallel import ColwiseParallel
        import torch.distributed.tensor.parallel.style as style
        assert style.ColwiseParallel is ColwiseParallel

        # Sizes that are symbols, or numbers.
        assert sym_eq((2, 3), (2, 3)) and not sym_eq((2, 3), (2, 4)) and not is_nested_int(1)
        x = torch.ones(2, 3, device="meta")
        assert (x @ x.T).shape == (2, 2)
        assert type(torch.fx.experimental.symbolic_shapes).__name__ == "_Module"
        size = ShapeEnv().create_unbacked_symint()
        assert isinstance(size, torch.SymInt) and not guard_or_false(size == 3)
        from torch.fx.experimental.symbolic_shapes import sym_eq as itself
        assert sym_eq((1, 2), (1, 2)) is itself((1, 2), (1, 2)) is True and guard_or_false(True)

        # The compiler.
        @torch.compiler.disable
        def apart(x): return x + 1
        @torch.compile(backend="eager", dynamic=True)
        def twice(x): return apart(x) * 2
        assert twice(torch.ones(2)).tolist() == twice(torch.ones(3))[:2].tolist() == [4, 4]
        assert isinstance(torch.compile(torch.nn.Identity()), torch._dynamo.eval_frame.OptimizedModule)
        assert torch._dynamo.disable is not apart and torch._dynamo.config.cache_size_limit > 0
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


def test_a_graph_runs_without_what_others_need() -> None:
    loaded = run("""
        import sys
        import imagegraph
        with imagegraph.load("reimagine") as graph:
            graph("pocket/examples/scene.png", steps=2)
        waits = [name for name, module in sys.modules.items() if type(module).__module__ == "components.late"]
        print(*(name for name in sys.modules if name not in waits))
    """).split()
    assert {"torch", "diffusers", "transformers"} <= set(loaded)
    others = {"boto3", "controlnet_aux", "kubernetes", "matplotlib", "pandas", "scipy.optimize"}
    assert not {*others, "sympy", "timm", "torch._dynamo", "torch._inductor"} & set(loaded)


def test_edges_load_without_torch() -> None:
    loaded = run("""
        import sys
        from components.edges import Edges
        Edges(128).load({})
        print(*(name for name in sys.modules))
    """).split()
    assert "cv2" in loaded
    assert not {"torch", "scipy", "controlnet_aux"} & set(loaded)
