"""The version of what computes a node's answers: one hash of all that they depend on besides its inputs.

It is the code itself and not the name of an image, whose tag may be given to another one.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imagegraph.spec.content_hash import content_hash

SITE = frozenset({"site-packages", "dist-packages"})
_VERSION = re.compile(r"sha256:[0-9a-f]{64}")


def version(kind: type, facts: Mapping[str, Any]) -> str:
    """Returns the version of a component's class with these facts: device, weights, settings and so on.

    Returns:
        Nothing where it cannot be known: the code lies in no file, or a fact has no hash.
    """
    try:
        return f"sha256:{content_hash((_code(kind), dict(facts)))}"
    except (OSError, TypeError):
        return ""


def read(said: Any) -> str:
    """Returns what a pod says of its version if it is one of ours, which promise equal answers."""
    return said if isinstance(said, str) and _VERSION.fullmatch(said) else ""


def _code(kind: type) -> tuple[Any, ...]:
    """Names a class, and hashes the code that it and its bases are made of and what is installed beside."""
    modules = {one.__module__.partition(".")[0] for one in kind.__mro__} - sys.stdlib_module_names
    code = {name: _source(name) for name in sorted(modules)}
    machine = sys.version, platform.machine()
    return f"{kind.__module__}:{kind.__qualname__}", code, machine, _installed()


@functools.cache
def _source(module: str) -> str:
    """Returns a hash of all files of a package, or of the Python files beside a module that is in none.

    Raises:
        TypeError: it was loaded from no file.
    """
    found = sys.modules[module]
    if hasattr(found, "__path__"):
        folders, pattern = [*map(Path, found.__path__)], "**/*"
    elif getattr(found, "__file__", None):
        folders, pattern = [Path(str(found.__file__)).parent], "*.py"
    else:
        raise TypeError(f"{module} has no file")
    if any(SITE.intersection(folder.parts) for folder in folders):
        return "installed"
    return _hash(folders, pattern)


@functools.cache
def _installed() -> str:
    """Returns a hash of the lists of files, with their own hashes, that every installed package has."""
    return _hash([Path(folder) for folder in sys.path if folder], "*.dist-info/RECORD")


def _hash(folders: Iterable[Path], pattern: str) -> str:
    """Hashes names and contents of the files, but for compiled ones, which depend on time."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.glob(pattern)):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(folder)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
