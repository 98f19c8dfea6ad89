"""The program as a whole: which file is which module, and what a name means in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vllm_lint.analyzer.discovery import display_name
from vllm_lint.analyzer.index import ClassInfo, ModuleInfo, index_module
from vllm_lint.analyzer.profile import Profile, spent_on
from vllm_lint.analyzer.questions import Disk, digest_of_answers, module_answer, python_files, text_answer
from vllm_lint.analyzer.sharing import Shared
from vllm_lint.analyzer.source import SourceFile, read_source

#: Packages that are read where the checked files import them; others stay external.
INSTALLED_PACKAGES = ("vllm",)


class Project:
    """Finds, reads and keeps the modules of a program; `shared` notes what is asked about it."""

    def __init__(
        self,
        files: Iterable[Path],
        source_roots: Iterable[Path],
        *,
        search_installed: bool,
        base: Path,
        disk: Disk,
        profile: Profile | None = None,
    ) -> None:
        """`base` is what findings name paths relative to."""
        self.profile = profile
        files = list(files)
        self._base = base
        self.disk = disk
        self._checked = frozenset(files)
        self.roots: list[Path] = []
        for root in (*source_roots, *_package_parents(files)):
            if root not in self.roots:
                self.roots.append(root)
        self.installed = _installed_roots(self.roots) if search_installed else {}
        # Among installed packages only those are part of the program that are checked: torch is known by name.
        self._own = {path.relative_to(root).parts[0] for root in self.roots for path in files if root in path.parents}
        self.resolve_base: Callable[[ClassInfo], list[ClassInfo | str]] = _no_bases
        """Set by the interpreter, which knows what the expression of a base class means."""
        self._sources: dict[Path, SourceFile] = {}
        self._digests: dict[Path, str] = {}
        self._displayed: dict[Path, str] = {}
        self._found: dict[str, Path | None] = {}
        self._indexed: dict[tuple[str, Path], ModuleInfo | None] = {}
        self._module_names: dict[Path, str] = {}
        self._subclass_names: dict[Path, dict[str, list[tuple[Path, str]]]] = {}
        self._modules: dict[str, ModuleInfo | None] = {}
        self.shared = Shared()

    def display(self, path: Path) -> str:
        """`path` as findings show it."""
        if path not in self._displayed:
            self._displayed[path] = display_name(path, self._base)
        return self._displayed[path]

    def is_checked(self, module: ModuleInfo) -> bool:
        """Whether findings in `module` are asked for; code of others is only read for what it returns."""
        path = module.source.path
        self.shared.ask(f"checked {self.display(path)}", lambda: self.checked_answer(path))
        return path in self._checked

    def checked_answer(self, path: Path) -> str:
        """Says whether `path` is checked; empty if not."""
        return "yes" if path in self._checked else ""

    def add_source(self, path: Path, source: SourceFile) -> None:
        """Give the text of `path` in place of what is on disk."""
        self._sources[path] = source

    def module_name(self, path: Path) -> str:
        """The dotted name of a file, from the packages that it lies in."""
        if path not in self._module_names:
            self._module_names[path] = _module_name(path)
        return self._module_names[path]

    def module_at(self, path: Path) -> ModuleInfo | None:
        """The module in the file `path`; None if it cannot be read."""
        name = self.module_name(path)
        module = self._load(name, path)
        self.shared.ask(f"text {self.display(path)}", lambda: text_answer(name, self._digests[path]))
        return module

    def module(self, name: str) -> ModuleInfo | None:
        """The module called `name`; None if it is not part of the program or cannot be read."""
        if name not in self._modules:
            path = self.find(name)
            self._modules[name] = self._load(name, path) if path is not None else None
        self.shared.ask(f"module {name}", lambda: self._module_answer(name))
        return self._modules[name]

    def _module_answer(self, name: str) -> str:
        path = self.find(name)
        return module_answer(self.display(path), self._digests[path]) if path is not None else ""

    def home(self, declared: str, files: Sequence[Path]) -> Path:
        """The one of `files` that a root declared as `package.module:Name` belongs to; the first if it is in none."""
        home = self.find(declared.partition(":")[0])
        return home if home is not None and home in files else files[0]

    def find(self, name: str) -> Path | None:
        """The file of a module; None for a library or a namespace package."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> Path | None:
        parts = name.split(".")
        roots = self.roots
        if parts[0] in self.installed:
            roots = [*roots, self.installed[parts[0]]]
        for root in roots:
            if root.name in _INSTALLED and parts[0] not in self._own and root is not self.installed.get(parts[0]):
                continue
            base = root.joinpath(*parts)
            for path in (base / "__init__.py", base.with_name(base.name + ".py")):
                if path in self._sources or path.is_file():
                    return path
        return None

    def modules(self) -> list[ModuleInfo]:
        """All modules read so far."""
        return [m for m in self._indexed.values() if m is not None]

    def linearization(self, cls: ClassInfo) -> tuple[ClassInfo | str, ...]:
        """The class and its bases, in method resolution order as far as it can be known.

        Bases of libraries appear as dotted names. A cycle ends where it closes.
        """

        def order() -> tuple[ClassInfo | str, ...]:
            order: list[ClassInfo | str] = [cls]
            chains = [
                [base] if isinstance(base, str) else list(self.linearization(base)) for base in self.resolve_base(cls)
            ]
            for position, chain in enumerate(chains):
                later = {id(c) for other in chains[position + 1 :] for c in other if not isinstance(c, str)}
                order += [c for c in chain if c not in order and id(c) not in later]
            order += [c for chain in chains for c in chain if c not in order]
            return tuple(order)

        return self.shared.once(("order", cls), order, (cls,))

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

    def named_subclasses(self, path: Path, name: str) -> list[tuple[Path, str]]:
        """File and name of the classes that name a class `name` of `path` as a base, by the text of their headers."""
        return self._subclasses_below(_scope(path)).get(name, [])

    def subclasses_answer(self, path: Path, name: str) -> str:
        """Names the result of `named_subclasses`."""
        return digest_of_answers(f"{self.display(file)}\t{cls}" for file, cls in self.named_subclasses(path, name))

    def _named_subclasses(self, cls: ClassInfo) -> list[tuple[Path, str]]:
        path = cls.module.source.path
        question = f"subclasses {self.display(path)} {cls.name}"
        self.shared.ask(question, lambda: self.subclasses_answer(path, cls.name))
        return self.named_subclasses(path, cls.name)

    def _subclasses_below(self, top: Path) -> dict[str, list[tuple[Path, str]]]:
        """Base name to the classes that name it."""
        if top not in self._subclass_names:
            found = self._subclass_names[top] = {}
            with spent_on(self.profile, "stage", "look for subclasses"):
                for path in python_files(str(top)):
                    for base, name in self.disk.headers(path):
                        found.setdefault(base, []).append((Path(path), name))
        return self._subclass_names[top]

    def _load(self, name: str, path: Path) -> ModuleInfo | None:
        if (name, path) not in self._indexed:
            self._indexed[name, path] = self._index(name, path)
        return self._indexed[name, path]

    def _index(self, name: str, path: Path) -> ModuleInfo | None:
        source = self._sources.get(path)
        if source is None:
            with spent_on(self.profile, "stage", "read files"):
                read = read_source(path, self.display(path))
            if not isinstance(read, SourceFile):
                self._digests[path] = self.disk.digest(str(path))
                return None
            source = self._sources[path] = read
        self._digests[path] = source.digest
        with spent_on(self.profile, "stage", "parse"):
            problem = source.problem
        if problem is not None:
            return None
        with spent_on(self.profile, "stage", "index"):
            return index_module(name, source, is_package=path.name == "__init__.py")


def _no_bases(cls: ClassInfo) -> list[ClassInfo | str]:
    return []


def _scope(path: Path) -> Path:
    """Where subclasses of the classes in `path` are looked for: its package, or the file alone."""
    top = path.parent
    # Two levels up from the base is where its implementations are kept in vLLM and its plugins.
    for _ in range(2):
        if (top.parent / "__init__.py").is_file():
            top = top.parent
    return top if (top / "__init__.py").is_file() else path


def _module_name(path: Path) -> str:
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.append(folder.name)
        if folder.parent == folder:
            break
        folder = folder.parent
    return ".".join(reversed(parts)) or path.stem


#: What folders are called that packages are installed into.
_INSTALLED = ("site-packages", "dist-packages")


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
