"""An entry of the catalogue: a component, and what it is in each bundle."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from imagegraph.component import Component, Weights
from imagegraph.errors import InvalidDocument, MissingWeights, UnknownName, describe
from imagegraph.image import Image
from imagegraph.signature import Signature
from imagegraph.spec.graph import Name
from imagegraph.spec.strict_yaml import Misplaced, Strict
from imagegraph.spec.version import version
from imagegraph.spec.weights import ROOT, Source


class Resources(Strict):
    """What one replica asks of a cluster."""

    cpu: Annotated[float, Field(gt=0)] = 1
    memory_gib: Annotated[float, Field(gt=0)] = 1


ImportString = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]


class Variant(Strict):
    """An entry in one bundle: its weights by role, settings of the class and defaults of ports.

    Attributes:
        component: its class in this bundle, where that is not the entry's; it has no other ports.
        summary: what it is in this bundle, where that is not what the entry says.
        watchdog_s: longest that it may compute without an answer or a step of progress, before its process
            says that it is not alive any more; None is for ever.
    """

    component: ImportString | None = None
    summary: str | None = None
    weights: Mapping[str, Source] = {}
    settings: Mapping[str, Any] = {}
    defaults: Mapping[str, Any] = {}
    resources: Resources = Resources()
    watchdog_s: Annotated[float, Field(gt=0)] | None = None

    @property
    def adapters(self) -> list[str]:
        """The roles of kind `adapter`."""
        return [role for role, source in self.weights.items() if source.kind == "adapter"]


class Entry(Strict):
    """A component's line in the catalogue."""

    component: ImportString
    summary: str
    pool: Literal["cpu", "gpu"] = "cpu"
    uses: Mapping[str, Name] = {}
    smoke: Mapping[str, Any] = {}
    bundles: Annotated[Mapping[Name, Variant], Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _fits_its_class(self) -> Self:
        for bundle, variant in self.bundles.items():
            component = variant.component or self.component
            try:
                kind = self.kind_in(bundle)
                signature = Signature.of(kind)
            except InvalidDocument as error:
                raise ValueError(str(error)) from error
            except (TypeError, NameError) as error:  # of annotations, which may be texts
                raise ValueError(f"'{component}' has no ports: {error}") from error
            if lacking := sorted(getattr(kind, "__abstractmethods__", ())):
                raise ValueError(f"'{component}' has no {' and no '.join(lacking)}")
            if signature.open is not None and kind.opens is None:
                raise ValueError(f"'{component}' takes open ports: its `opens` must say what names them")
            inputs = signature.inputs
            at = ["bundles", bundle]
            self._check_settings(kind, variant.settings, [*at, "settings"])
            for role, source in variant.weights.items():
                if source.kind in ("base", "vae"):
                    if role not in kind.roles:
                        others = ["control"] * (kind.opens == "control") + ["adapter"] * kind.adapts
                        hint = f" Others say `kind: {' or '.join(others)}`." if others else ""
                        unknown = UnknownName(f"role (bundle '{bundle}')", role, kind.roles)
                        raise ValueError(f"{unknown}{hint}")
                elif source.kind != kind.opens and not (source.kind == "adapter" and kind.adapts):
                    name = kind.__name__
                    raise ValueError(f"bundle '{bundle}', role '{role}': {name} takes no {source.kind}")
                elif source.kind == "control" and role in inputs:
                    raise Misplaced([*at, "weights", role], f"{kind.__name__} has a port '{role}' of its own")
            for port in variant.defaults:
                if port not in inputs and port not in variant.weights and kind.opens != "uses":
                    raise Misplaced([*at, "defaults", port], str(UnknownName("port", port, inputs)))
            for port in self.smoke:
                if port not in inputs and kind.opens is None:
                    raise Misplaced(["smoke", port], str(UnknownName("port", port, inputs)))
        return self

    def _check_settings(self, kind: Any, settings: Mapping[str, Any], at: list[str]) -> None:
        """Refuses settings that the class does not take, and the lack of one that it needs."""
        parameters = _parameters(kind)
        named = [name for name, one in parameters.items() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        if len(named) == len(parameters):
            for name in settings.keys() - named:
                raise Misplaced([*at, name], str(UnknownName("setting", name, named)))
        for name in named:
            if parameters[name].default is inspect.Parameter.empty and name not in (*settings, "uses"):
                raise Misplaced(at, f"expected '{name}', which {kind.__name__} needs")

    @cached_property
    def kind(self) -> type[Component]:
        """The component's class; importing it costs little, heavy imports wait for `load`."""
        return imported(self.component)

    def variant(self, bundle: str) -> Variant:
        """Returns the entry's variant in `bundle`.

        Raises:
            UnknownName: the entry does not exist in that bundle.
        """
        if bundle not in self.bundles:
            raise UnknownName("bundle", bundle, self.bundles)
        return self.bundles[bundle]

    def kind_in(self, bundle: str) -> type[Component]:
        """Returns the component's class in a bundle: that of the variant, or the entry's."""
        component = self.variant(bundle).component
        return imported(component) if component else self.kind

    def smoke_values(self, signature: Signature) -> dict[str, Any]:
        """Returns an input that the entry can answer, with the pictures read from their files."""

        def read(name: str, value: Any) -> Any:
            if not signature.port(name).holds_images:
                return value
            if isinstance(value, list):
                return [Image((ROOT / path).read_bytes()) for path in value]
            return Image((ROOT / value).read_bytes())

        return {name: read(name, value) for name, value in self.smoke.items()}

    def build(self, bundle: str, uses: Mapping[str, Component]) -> Component:
        """Makes the component, without its weights; `uses` are the other components it calls."""
        settings = dict(self.variant(bundle).settings)
        if self.uses:
            settings["uses"] = uses
        return self.kind_in(bundle)(**settings)

    def weights(self, bundle: str, device: str) -> Weights:
        """Finds the weights on this machine.

        Raises:
            MissingWeights: says what brings them here.
        """
        folders: dict[str, Path] = {}
        for role, source in self.variant(bundle).weights.items():
            try:
                folders[role] = source.folder()
            except MissingWeights as error:
                remedy = f"pull them: model-init pull --bundle {bundle}"
                if source.project_folder:
                    remedy = "bring that folder back, by git lfs pull where it is a checkout"
                elif source.path and Path(source.path).is_absolute():  # no pull knows it
                    remedy = "expected a folder there"
                raise MissingWeights(f"role '{role}': {error}; {remedy}") from error
        return Weights(folders, device, frozenset(self.variant(bundle).adapters))

    def version(self, bundle: str, weights: Weights, uses: Mapping[str, str]) -> str:
        """Returns the version of the component as it is loaded, or nothing where it has none.

        Args:
            weights: with which it was loaded.
            uses: versions of the other components that it calls, by role; nothing of one is nothing of all.
        """
        kind = self.kind_in(bundle)
        if not kind.pure or not all(uses.values()):
            return ""
        variant = self.variant(bundle)
        facts = {
            # Whoever computes on a device has looked for it by now; for the others it is all the same.
            "device": vars(weights).get("device", weights.choice),
            "weights": {role: source.version for role, source in variant.weights.items()},
            "settings": variant.settings,
            "defaults": variant.defaults,
            "uses": uses,
        }
        return version(kind, facts)


@functools.cache
def _parameters(kind: type[Component]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(kind).parameters


def imported(component: str) -> type[Component]:
    """Returns the class that an import string names.

    Raises:
        InvalidDocument: there is none, or it is no component.
    """
    module, _, name = component.partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidDocument(f"'{component}' cannot be imported: {error}") from error
    except Exception as error:  # whatever somebody's module does
        raise InvalidDocument(f"'{component}' cannot be imported: {describe(error)}") from error
    if not (isinstance(kind, type) and issubclass(kind, Component)):
        raise InvalidDocument(f"'{component}' is not a Component")
    return kind
