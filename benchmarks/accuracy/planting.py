"""Puts edits into copies of the source of installed packages."""

from __future__ import annotations

import ast
import random
import shutil
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.accuracy.edits import Edit

_DECORATOR = "support_torch_compile"


@dataclass(frozen=True)
class Site:
    """A forward of a model, `target`; `x` has the number of tokens in dimension `dim` of `ndim`."""

    provider: str
    target: str
    module: str
    function: str
    x: str
    dim: int
    ndim: int
    root: str
    """What is compiled, as `package.module:Class`."""
    constructor: bool = True
    """Whether its class has one of its own."""

    @property
    def path(self) -> str:
        """The file, relative to the folder that holds the package."""
        return self.module.replace(".", "/") + ".py"

    @property
    def is_root(self) -> bool:
        """Whether it is what is compiled, and not below."""
        return self.root == f"{self.module}:{self.function.partition('.')[0]}"

    def takes(self, edit: Edit) -> bool:
        """Whether `edit` can be planted here."""
        return (
            edit.of_root == self.is_root
            and edit.provider in ("", self.provider)
            and (self.constructor or not edit.init)
        )


@dataclass(frozen=True)
class Mutant:
    """One edit at one site; `lines` are the planted ones, `marked` is the one that is wrong, 0 if none is.

    A run shows the defect at `shown`, which is `marked` unless the edit says otherwise.
    """

    site: Site
    edit: Edit
    lines: tuple[int, ...]
    marked: int
    shown: int

    def __str__(self) -> str:
        return f"{self.edit.rule} {self.edit.name} in {self.site.module}:{self.site.function}"


def assignments(
    sites: Sequence[Site], edits: Sequence[Edit], rounds: int, seed: int
) -> Iterator[list[tuple[Site, Edit]]]:
    """For each round an edit for each site; no site gets one twice, and all edits are planted about as often."""
    generator = random.Random(seed)  # noqa: S311  nothing secret
    order = list(edits)
    generator.shuffle(order)
    planted: Counter[Edit] = Counter()
    left = [[edit for edit in order if site.takes(edit)] for site in sites]
    for _ in range(rounds):
        numbers = [number for number in range(len(sites)) if left[number]]
        generator.shuffle(numbers)
        chosen: dict[int, Edit] = {}
        for number in numbers:
            edit = min(left[number], key=planted.__getitem__)
            left[number].remove(edit)
            planted[edit] += 1
            chosen[number] = edit
        yield [(sites[number], chosen[number]) for number in sorted(chosen)]


def plant(base: Path, chosen: Iterable[tuple[Site, Edit]]) -> list[Mutant]:
    """Write each file below `base` anew, with the edits of its sites."""
    by_path: dict[str, list[tuple[Site, Edit]]] = defaultdict(list)
    for site, edit in chosen:
        by_path[site.path].append((site, edit))
    mutants = []
    for path, pairs in by_path.items():
        text, found = planted(original(path).read_text(encoding="utf-8"), pairs)
        (base / path).write_text(text, encoding="utf-8")
        mutants += found
    return mutants


def planted(text: str, pairs: Sequence[tuple[Site, Edit]]) -> tuple[str, list[Mutant]]:
    """`text` with the edits, and where each of them is."""
    lines, tree = text.splitlines(), ast.parse(text)
    changes: list[tuple[int, int, int, list[str]]] = []
    for number, (site, edit) in enumerate(pairs):
        for start, end, indent, code in _changes(edit, site, *_definitions(tree, site)):
            changes.append((start, end, number, _lines(code, site, number, indent)))
    for start, end, _, inserted in sorted(changes, key=lambda each: each[:3], reverse=True):
        lines[start:end] = inserted
    mutants = []
    for number, (site, edit) in enumerate(pairs):
        places = {
            word: [n for n, line in enumerate(lines, 1) if line.endswith(f"# {word}{number}")]
            for word in ("planted", "here", "shown")
        }
        here, shown = places["here"], places["shown"]
        assert len(here) == bool(edit.finds), f"{edit.rule} {edit.name}: {len(here)} lines are marked"
        marked = here[0] if here else 0
        at = shown[0] if shown and marked else marked
        mutants.append(Mutant(site, edit, tuple(sorted(n for found in places.values() for n in found)), marked, at))
    return "\n".join(lines) + "\n", mutants


def original(path: str) -> Path:
    """The installed file at `path`, which begins with the name of a package."""
    spec = find_spec(path.partition("/")[0])
    assert spec is not None
    assert spec.origin is not None, f"{path} is not installed"
    return Path(spec.origin).parent.parent / path


def copy_packages(base: Path, sites: Iterable[Site]) -> None:
    """Copy the Python files of the packages of all sites to `base`."""
    for package in {site.path.partition("/")[0] for site in sites}:
        shutil.copytree(original(package + "/__init__.py").parent, base / package, ignore=_not_python)


def _changes(
    edit: Edit, site: Site, cls: ast.ClassDef, function: ast.FunctionDef, constructor: ast.FunctionDef | None
) -> Iterator[tuple[int, int, int, str]]:
    """Which lines, from and to, the pieces of an edit take the place of, and how far they are indented."""
    first = function.body[1 if ast.get_docstring(function) is not None else 0]
    yield first.lineno - 1, first.lineno - 1, first.col_offset, edit.code
    if edit.top:
        at = min([cls.lineno, *(d.lineno for d in cls.decorator_list)]) - 1
        yield at, at, 0, edit.top
    if edit.init:
        assert constructor is not None, f"{site.function} has no constructor of its own"
        last = constructor.body[-1]
        yield last.end_lineno or 0, last.end_lineno or 0, last.col_offset, edit.init
    if edit.decorator:
        (decorator,) = (d for d in cls.decorator_list if _DECORATOR in ast.dump(d))
        yield decorator.lineno - 1, decorator.end_lineno or 0, 0, edit.decorator
    if edit.argument:
        (argument,) = (a for a in function.args.args if a.arg == site.x)
        yield argument.lineno - 1, argument.end_lineno or 0, argument.col_offset, edit.argument


def _lines(code: str, site: Site, number: int, indent: int) -> list[str]:
    """The lines of an edit as they stand in the file; each names the edit, so that several fit into one file."""
    for name, value in (("{x}", site.x), ("{n}", f"{site.x}.shape[{site.dim}]"), ("{dim}", str(site.dim))):
        code = code.replace(name, value)
    code = code.replace("planted", f"planted{number}")
    marked = [
        line
        if not line.strip()
        else line + str(number)
        if line.endswith(("# here", "# shown"))
        else f"{line}  # planted{number}"
        for line in code.splitlines()
    ]
    return textwrap.indent("\n".join(marked), " " * indent).splitlines()


def _definitions(tree: ast.Module, site: Site) -> tuple[ast.ClassDef, ast.FunctionDef, ast.FunctionDef | None]:
    name, _, method = site.function.partition(".")
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef) and cls.name == name:
            members = {m.name: m for m in cls.body if isinstance(m, ast.FunctionDef)}
            return cls, members[method], members.get("__init__")
    sys.exit(f"{site.path} defines no {name}: results/sites.json is of another version")


def _not_python(_: str, names: list[str]) -> list[str]:
    return [n for n in names if "." in n and not n.endswith((".py", ".pyi"))]
