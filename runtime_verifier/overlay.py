"""Imports changed copies of source files in place of the originals, which stay as they are."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, replaced: Mapping[str, str]) -> None:
        self._replaced = replaced

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        copy = self._replaced.get(os.path.realpath(spec.origin)) if spec and spec.origin else None
        if spec is None or copy is None:
            return None
        loader = importlib.machinery.SourceFileLoader(fullname, copy)
        return importlib.util.spec_from_file_location(
            fullname, copy, loader=loader, submodule_search_locations=spec.submodule_search_locations
        )


@contextmanager
def installed(files: Mapping[str, str]) -> Iterator[None]:
    """Have imports take the values of `files` for its keys. Modules that are loaded already are loaded anew.

    A module that imported names from one of them before keeps the old ones, so this belongs before the target is built.
    """
    if not files:
        yield
        return
    replaced = {os.path.realpath(original): copy for original, copy in files.items()}
    finder = _Finder(replaced)
    sys.meta_path.insert(0, finder)
    stale = [n for n, m in sys.modules.items() if os.path.realpath(getattr(m, "__file__", None) or "") in replaced]
    for name in stale:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
