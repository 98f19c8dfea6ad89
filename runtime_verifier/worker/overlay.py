"""Imports changed copies of source files in place of the originals, which stay as they are."""

from __future__ import annotations

import ast
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType


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
    """Have imports take the values of `files` for its keys.

    A module that is loaded already is not loaded anew, since others hold its classes and torch its operators: its
    functions get the code of the copy, for good, and statements that only the copy has are run. Methods that a class
    did not have before are not added.

    Raises:
        ValueError: a function of a loaded module closes over other variables in the copy.
    """
    if not files:
        yield
        return
    replaced = {os.path.realpath(original): copy for original, copy in files.items()}
    finder = _Finder(replaced)
    sys.meta_path.insert(0, finder)
    for module in list(sys.modules.values()):
        path = os.path.realpath(getattr(module, "__file__", None) or "")
        if path in replaced:
            _change(module, Path(path), Path(replaced[path]))
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _change(module: ModuleType, original: Path, copy: Path) -> None:
    before = {ast.dump(statement) for statement in ast.parse(original.read_text(encoding="utf-8")).body}
    source = copy.read_text(encoding="utf-8")
    for statement in ast.parse(source).body:
        is_known = getattr(statement, "name", None) in vars(module)
        if not is_known and ast.dump(statement) not in before:
            exec(compile(ast.Module([statement], []), str(copy), "exec"), vars(module))  # noqa: S102
    codes = dict(_codes(compile(source, str(copy), "exec"), ""))
    # Decorators and registries hold functions that no name of the module leads to.
    for function in [o for o in gc.get_objects() if isinstance(o, FunctionType)]:
        if function.__module__ == module.__name__ and os.path.realpath(function.__code__.co_filename) == str(original):
            function.__code__ = codes.get(function.__qualname__, function.__code__)


def _codes(code: CodeType, prefix: str) -> Iterator[tuple[str, CodeType]]:
    """The code of each function inside `code`, by qualified name."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            is_function = constant.co_flags & inspect.CO_OPTIMIZED
            if is_function:
                yield prefix + constant.co_name, constant
            inside = f"{prefix}{constant.co_name}.{'<locals>.' if is_function else ''}"
            yield from _codes(constant, inside)
