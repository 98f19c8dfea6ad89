"""Stand-ins for packages that only prepare images and sounds, so that model code which imports them can be built.

Nothing in the forward of a model calls them: what a stand-in gives can be subclassed, named and passed on, not called.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any

PACKAGES = ("torchaudio", "torchvision")


class NotInstalled(ImportError):
    """Something of a package that is not installed was called."""


class _Placeholder(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _placeholder(f"{cls.__module__}.{cls.__qualname__}", name)

    def __call__(cls, *args: object, **options: object) -> Any:
        if cls.__dict__.get("_stands_in"):
            raise NotInstalled(f"needs the package {cls.__module__.partition('.')[0]}")
        return super().__call__(*args, **options)


def _placeholder(module: str, name: str) -> Any:
    return _Placeholder(name, (), {"__module__": module, "_stands_in": True})


class _Module(types.ModuleType):
    __version__ = "0"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _placeholder(self.__name__, name)


class _Finder:
    """Finds the packages, and every module in them."""

    def __init__(self, packages: frozenset[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> Any:
        del path, target
        if name.partition(".")[0] not in self.packages:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run: the attributes are made when they are asked for."""


def install() -> None:
    """Stand in for those of `PACKAGES` that are not installed. Before transformers, which looks, is imported."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    missing = frozenset(p for p in PACKAGES if importlib.util.find_spec(p) is None)
    sys.meta_path.append(_Finder(missing))
