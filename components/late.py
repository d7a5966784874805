"""Imports that wait until what they bring is used: half of the libraries here is for others' models.

Importing transformers, diffusers, torchvision and controlnet-aux brings torch's compiler, its tensors over
several machines, SciPy's optimisers and distributions, and every model and detector that the packages have:
seconds and hundreds of MiB, for names that no component here uses. `postpone` lets such modules wait. Who
imports a name of one gets a stand-in, and whatever is then done with that imports the module and does it with
the name itself. Two things do not: asking whether something is an instance of one of its classes, as long as
nothing is, and marking functions for a compiler that is not there.

Source: PEP 810, "Explicit lazy imports", done to code that is not ours.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Union

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
    # For a way of attention, which brings SymPy.
    "torch.nn.attention.flex_attention",
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
FIRST = ("torch._dynamo.", "torch.distributed.")
ALONE = "torch._dynamo._trace_wrapped_higher_order_op"
_RUNNING = threading.RLock()
_RUN: set[str] = set()


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
                spec.loader = _Loader(spec.loader)
            return spec
        package = sys.modules.get(name.rpartition(".")[0])
        if isinstance(package, _Module) and name.startswith(FIRST) and name != ALONE:
            _run(package)
            if name in sys.modules:
                return ModuleSpec(name, _Found(sys.modules[name]))
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
    def __init__(self, own: Loader) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["_own_loader"] = self._own
        if module.__name__ == "torch._dynamo":
            module.__dict__.update(_MARKS)


class _Module(ModuleType):
    """A module that has not run yet; modules beneath it can be imported all the same."""

    def __getattr__(self, name: str) -> Any:
        if name in ("__all__", "__version__"):
            return getattr(_run(self), name)
        if name.startswith("__"):  # the import system asks for some that modules need not have
            raise AttributeError(name)
        beneath = f"{self.__name__}.{name}"
        if _waits(beneath) or beneath in sys.modules:
            return importlib.import_module(beneath)
        made = self.__dict__[name] = _Name(self, name)
        return made


def _run(module: ModuleType) -> ModuleType:
    """Returns a module after it has run, and the outermost that waits around it before it."""
    with _RUNNING:
        if not isinstance(module, _Module):
            return module
        name = module.__name__
        outermost = next((one for one in WAITING if _waits(one) and name.startswith(f"{one}.")), None)
        if outermost:
            _run(importlib.import_module(outermost))
        elif _waits(name):
            _leave(module)
        return importlib.import_module(name)


def _leave(module: _Module) -> None:
    """Lets a module run, for which those beneath it no longer wait."""
    name = module.__name__
    for one in WAITING:
        if one == name or one.startswith(f"{name}."):
            _RUN.add(one)
            if one != name and isinstance(sys.modules.get(one), _Module):
                del sys.modules[one]
    loader = module.__dict__.pop("_own_loader")
    made = [key for key, value in module.__dict__.items() if isinstance(value, (_Name, _Module))]
    for key in (*made, *(_MARKS.keys() & module.__dict__.keys())):
        delattr(module, key)
    module.__class__ = ModuleType  # type: ignore[assignment]
    loader.exec_module(module)
    if name == "torch._dynamo":
        for function in _ALLOWED:
            module.allow_in_graph(function)


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


# What libraries write over their functions for torch's compiler. Without one it means nothing; one that comes
# later finds the same marks as its own decorators would have left.
_ALLOWED: list[Any] = []


def _disable(function: Any = None, *_: Any, **__: Any) -> Any:
    return _mark("_torchdynamo_disable") if function is None else _mark("_torchdynamo_disable")(function)


def _mark(attribute: str) -> Callable[[Any], Any]:
    def mark(function: Any) -> Any:
        setattr(function, attribute, True)
        return function

    return mark


def _allow(function: Any) -> Any:
    _ALLOWED.append(function)
    return function


_MARKS: dict[str, Any] = {
    "allow_in_graph": _allow,
    "assume_constant_result": _mark("_dynamo_marked_constant"),
    "disable": _disable,
}
