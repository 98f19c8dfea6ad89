"""The program as a whole: which file is which module, and what a name means in it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from vllm_lint.analyzer.index import ClassInfo, ModuleInfo, index_module
from vllm_lint.analyzer.source import SourceFile, read_source

#: Packages that are read where the checked files import them; others stay external.
INSTALLED_PACKAGES = ("vllm",)

_CLASS_HEADER = re.compile(r"^[ \t]*class[ \t]+(\w+)[ \t]*\(([^)]*)\)", re.MULTILINE)


class Project:
    """Finds, reads and keeps the modules of a program."""

    def __init__(
        self,
        files: Iterable[Path],
        source_roots: Iterable[Path],
        *,
        search_installed: bool,
        display: Callable[[Path], str],
    ) -> None:
        files = list(files)
        self._display = display
        self._checked = frozenset(files)
        self.roots: list[Path] = []
        for root in (*source_roots, *_package_parents(files)):
            if root not in self.roots:
                self.roots.append(root)
        self._installed = _installed_roots(self.roots) if search_installed else {}
        self._modules: dict[str, ModuleInfo | None] = {}
        self._sources: dict[Path, SourceFile] = {}
        self._names: dict[Path, str] = {}
        self._linear: dict[ClassInfo, tuple[ClassInfo | str, ...]] = {}
        self._subclass_names: dict[Path, dict[str, list[tuple[Path, str]]]] = {}
        self.resolve_base: Callable[[ClassInfo], list[ClassInfo | str]] = lambda _: []
        """Set by the interpreter, which knows what the expression of a base class means."""

    def is_checked(self, module: ModuleInfo) -> bool:
        """Whether findings in `module` are asked for; code of others is only read for what it returns."""
        return module.source.path in self._checked

    def add_source(self, path: Path, source: SourceFile) -> None:
        """Give the text of `path` in place of what is on disk."""
        self._sources[path] = source

    def module_name(self, path: Path) -> str:
        """The dotted name of a file, from the packages that it lies in."""
        if path not in self._names:
            self._names[path] = _module_name(path)
        return self._names[path]

    def module_at(self, path: Path) -> ModuleInfo | None:
        """The module in the file `path`; None if it cannot be read."""
        name = self.module_name(path)
        known = self._modules.get(name)
        if known is not None and known.source.path == path:
            return known
        module = self._load(name, path)
        if module is not None:
            self._modules.setdefault(name, module)
        return module

    def module(self, name: str) -> ModuleInfo | None:
        """The module called `name`; None if it is not part of the program or cannot be read."""
        if name not in self._modules:
            self._modules[name] = None
            path = self.find(name)
            if path is not None:
                self._names.setdefault(path, name)
                self._modules[name] = self._load(name, path)
        return self._modules[name]

    def find(self, name: str) -> Path | None:
        """The file of a module; None for a library or a namespace package."""
        parts = name.split(".")
        roots = self.roots
        if parts[0] in self._installed:
            roots = [*roots, self._installed[parts[0]]]
        for root in roots:
            base = root.joinpath(*parts)
            for path in (base / "__init__.py", base.with_name(base.name + ".py")):
                if path in self._sources or path.is_file():
                    return path
        return None

    def modules(self) -> list[ModuleInfo]:
        """All modules read so far."""
        return [m for m in self._modules.values() if m is not None]

    def linearization(self, cls: ClassInfo) -> tuple[ClassInfo | str, ...]:
        """The class and its bases, in method resolution order as far as it can be known.

        Bases of libraries appear as dotted names. A cycle ends where it closes.
        """
        known = self._linear.get(cls)
        if known is not None:
            return known
        self._linear[cls] = (cls,)
        order: list[ClassInfo | str] = [cls]
        chains = [
            [base] if isinstance(base, str) else list(self.linearization(base)) for base in self.resolve_base(cls)
        ]
        for position, chain in enumerate(chains):
            later = {id(c) for other in chains[position + 1 :] for c in other if not isinstance(c, str)}
            order += [c for c in chain if c not in order and id(c) not in later]
        order += [c for chain in chains for c in chain if c not in order]
        self._linear[cls] = tuple(order)
        return self._linear[cls]

    def subclasses(self, cls: ClassInfo) -> list[ClassInfo]:
        """Direct and indirect subclasses in the package that defines `cls`, found by name and then checked."""
        found: list[ClassInfo] = []
        queue = [cls]
        while queue:
            current = queue.pop()
            for path, name in self._named_subclasses(current):
                module = self.module_at(path)
                for candidate in module.bindings.get(name, ()) if module else ():
                    if (
                        isinstance(candidate, ClassInfo)
                        and candidate not in found
                        and current in self.linearization(candidate)[1:]
                    ):
                        found.append(candidate)
                        queue.append(candidate)
        return sorted(found, key=lambda c: c.qualified_name)

    def _named_subclasses(self, cls: ClassInfo) -> list[tuple[Path, str]]:
        top = cls.module.source.path.parent
        # Two levels up from the base is where its implementations are kept in vLLM and its plugins.
        for _ in range(2):
            if (top.parent / "__init__.py").is_file():
                top = top.parent
        if not (top / "__init__.py").is_file():
            top = cls.module.source.path
        if top not in self._subclass_names:
            self._subclass_names[top] = _scan_class_headers(top)
        return self._subclass_names[top].get(cls.name, [])

    def _load(self, name: str, path: Path) -> ModuleInfo | None:
        source = self._sources.get(path)
        if source is None:
            read = read_source(path, self._display(path))
            if not isinstance(read, SourceFile):
                return None
            source = self._sources[path] = read
        if source.problem is not None:
            return None
        return index_module(name, source, is_package=path.name == "__init__.py")


def _module_name(path: Path) -> str:
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.append(folder.name)
        if folder.parent == folder:
            break
        folder = folder.parent
    return ".".join(reversed(parts)) or path.stem


def _package_parents(files: Iterable[Path]) -> list[Path]:
    """For each file the folder from which its module is imported."""
    parents: dict[Path, Path] = {}
    found: dict[Path, None] = {}
    for path in files:
        folder = path.parent
        if folder not in parents:
            top = folder
            while (top / "__init__.py").is_file() and top.parent != top:
                top = top.parent
            parents[folder] = top
        found[parents[folder]] = None
    return list(found)


def _installed_roots(roots: list[Path]) -> dict[str, Path]:
    """Folders on the interpreter's path that hold the packages of interest, unless the program has its own."""
    found: dict[str, Path] = {}
    for package in INSTALLED_PACKAGES:
        if any((root / package / "__init__.py").is_file() for root in roots):
            continue
        for entry in sys.path:
            if entry and (Path(entry) / package / "__init__.py").is_file():
                found[package] = Path(entry)
                break
    return found


def _scan_class_headers(top: Path) -> dict[str, list[tuple[Path, str]]]:
    """Base name to the classes that name it, by text alone: parsing every file would cost seconds."""
    found: dict[str, list[tuple[Path, str]]] = {}
    for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for match in _CLASS_HEADER.finditer(text):
            for base in match.group(2).split(","):
                name = base.partition("[")[0].strip().rpartition(".")[2]
                if name:
                    found.setdefault(name, []).append((path, match.group(1)))
    return found
