"""Imports that wait until what they bring is used: half of the libraries here is for others' models.

Importing transformers, diffusers, torchvision and controlnet-aux brings torch's compiler, its tensors over
several machines, SciPy's optimisers and distributions, and every model and detector that the packages have:
seconds and hundreds of MiB, for names that no component here uses. `postpone` lets such modules wait. Who
imports a name of one gets a stand-in, and whatever is then done with that imports the module and does it with
the name itself; threads that do so at once wait as for any import. Not so what can be answered without:
whether something is an instance of one of its classes, as long as nothing is, and see `meanwhile.py`.

Source: PEP 810, "Explicit lazy imports", done to code that is not ours.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Union

from components.meanwhile import ALLOWED, SYMBOLS, answers

# Their classes are defined in them or beneath. What is left out here costs less than 0.1 s.
WAITING = (
    # For torchvision's operators and transformers' caches.
    "torch._dynamo",
    "torch._dynamo.eval_frame",
    "torch._dynamo.utils",
    # For transformers' ways to spread a model over machines.
    "torch.distributed._composable.fsdp",
    "torch.distributed.checkpoint",
    "torch.distributed.checkpoint.hf_storage",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "torch.distributed.tensor._utils",
    "torch.distributed.tensor.placement_types",
    "transformers.distributed.expert_parallel",
    "transformers.distributed.tensor_parallel",
    # For sizes that are symbols.
    "sympy",
    "torch.fx.experimental.symbolic_shapes",
    # For a way of attention.
    "torch.nn.attention.flex_attention",
    # For accelerate's questions about Amazon's machines.
    "boto3",
    # For transformers' losses, diffusers' schedulers and controlnet-aux's detectors.
    "scipy.integrate",
    "scipy.optimize",
    "scipy.stats",
    # Of these one module of many is used.
    "controlnet_aux",
    "diffusers.loaders.single_file_utils",
    "diffusers.models.autoencoders",
    "diffusers.models.controlnets",
    "diffusers.models.transformers",
    "diffusers.models.unets",
    "torchvision.datasets",
    "torchvision.models",
)
# Modules beneath these run only after them, except for one, which transformers takes a class from.
FIRST = ("sympy.", "torch._dynamo.", "torch.distributed.")
ALONE = "torch._dynamo._trace_wrapped_higher_order_op"
_LEAVING = threading.Lock()
_RUN: set[str] = set()  # of WAITING: they wait no longer


def postpone() -> None:
    """Lets the modules of WAITING wait that nobody has imported yet."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if _waits(name):
            spec = PathFinder.find_spec(name, path, target)
            if spec and spec.loader:
                spec.loader = _Loader()
            return spec
        package = sys.modules.get(name.rpartition(".")[0])
        if isinstance(package, _Module) and name.startswith(FIRST) and name != ALONE:
            _run(package)
            found = sys.modules.get(name)
            if found:  # the import system takes the spec from there
                found.__spec__ = ModuleSpec(name, _Found(found))
                return found.__spec__
        return None


def _waits(name: str) -> bool:
    return name in WAITING and name not in _RUN


class _Found(Loader):
    """Loads what is loaded: to run its package has brought it."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(_MEANWHILE.get(module.__name__, {}))


class _Module(ModuleType):
    """Stands for a module that has not run yet; modules beneath it can be imported all the same.

    Who still holds this when that has run finds in it what is there.
    """

    def __getattr__(self, name: str) -> Any:
        if self.__name__ in _RUN or name in ("__all__", "__version__"):
            return getattr(_run(self), name)
        if name.startswith("__"):  # the import system asks for some that modules need not have
            raise AttributeError(name)
        beneath = f"{self.__name__}.{name}"
        if _waits(beneath) or beneath in sys.modules:
            return importlib.import_module(beneath)
        made = self.__dict__[name] = _Name(self, name)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or isinstance(value, ModuleType):  # the import system's
            super().__setattr__(name, value)
        else:
            setattr(_run(self), name, value)


def _run(module: ModuleType) -> ModuleType:
    """Returns the module that one stands for, after it has run, and the outermost that waits around it."""
    name = module.__name__
    left: list[_Module] = []
    if _waits(name):
        around = (one for one in WAITING if _waits(one) and f"{name}.".startswith(f"{one}."))
        left = _leave(next(around, name))
    itself = importlib.import_module(name)
    if isinstance(itself, _Module):  # another thread was just about to import it
        del sys.modules[name]
        itself = importlib.import_module(name)
    for one in left:
        run = sys.modules.get(one.__name__)
        for key, value in vars(one).items():
            if run and isinstance(value, ModuleType) and not isinstance(value, _Module):
                run.__dict__.setdefault(key, value)  # imported while the module around it waited
        if run and one.__name__ == "torch._dynamo":
            for function in ALLOWED:
                run.__dict__["allow_in_graph"](function)
    return itself


def _leave(name: str) -> list[_Module]:
    """Lets a module wait no longer, nor those beneath it; returns what has stood for them."""
    left = []
    with _LEAVING:
        for one in WAITING:
            if one == name or one.startswith(f"{name}."):
                _RUN.add(one)
                module = sys.modules.get(one)
                if isinstance(module, _Module):
                    del sys.modules[one]
                    left.append(module)
    for module in left:
        for key, value in list(vars(module).items()):
            if isinstance(value, (_Name, _Module)) or key in _MEANWHILE.get(module.__name__, ()):
                del module.__dict__[key]
    return left


class _Name:
    """Stands for a name of a module that had not run when somebody imported it."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self.__dict__.update(_module=module, _name=name)

    def _itself(self) -> Any:
        return getattr(_run(self._module), self._name)

    def _may_have(self, kind: type) -> bool:
        return any(str(base.__module__).startswith(self._module.__name__) for base in kind.__mro__)

    def __instancecheck__(self, instance: Any) -> bool:
        return self._may_have(type(instance)) and isinstance(instance, self._itself())

    def __subclasscheck__(self, kind: type) -> bool:
        return self._may_have(kind) and issubclass(kind, self._itself())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._itself(),)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._itself()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ("__parameters__", "__typing_subst__"):  # Union asks for them
            raise AttributeError(name)
        return getattr(self._itself(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._itself(), name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._itself()[key]

    def __iter__(self) -> Any:
        return iter(self._itself())

    def __bool__(self) -> bool:
        return bool(self._itself())

    # Annotations alone do this; a Union asks its parts one by one what is an instance of them.
    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007


_MEANWHILE = answers(lambda: _run(importlib.import_module(SYMBOLS)))
