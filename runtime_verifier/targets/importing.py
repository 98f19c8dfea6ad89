"""Imports the file or module that a target is in, the way its own package would."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType


def import_target(
    path: str, search: Sequence[str] = (), overlay: Mapping[str, str] = MappingProxyType({})
) -> ModuleType:
    """Import a file, or a module by its dotted name, with the folders `search` in front of the import path.

    A file in a package is imported under its full name, so that relative imports work. `overlay` names the copies that
    are read in place of some files.

    Raises:
        Exception: whatever importing it raises.
    """
    for folder in reversed(search):
        _put_in_front(folder)
    if not path.endswith(".py"):
        return importlib.import_module(path)
    file = Path(path).resolve()
    package, names = file.parent, [file.stem]
    while (package / "__init__.py").is_file():
        names.insert(0, package.name)
        package = package.parent
    _put_in_front(str(package))
    name = ".".join(names[:-1] if file.stem == "__init__" else names)
    read = next((Path(copy).resolve() for origin, copy in overlay.items() if Path(origin).resolve() == file), file)
    if len(names) > 1:
        module = importlib.import_module(name)
        if _is_file(module, read):
            return module
        raise ImportError(f"{name} is imported from {module.__file__}, so {file} cannot be")
    # A lone file may have the name of something that is loaded already.
    if name in sys.modules and not _is_file(sys.modules[name], read):
        name = f"vllm_lint_target_{name}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, read)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _is_file(module: ModuleType, file: Path) -> bool:
    origin = getattr(module, "__file__", None)
    return origin is not None and Path(origin).resolve() == file


def _put_in_front(folder: str) -> None:
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
