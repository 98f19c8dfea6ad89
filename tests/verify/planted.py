"""Plants a few lines in a copy of one of vLLM's files; the copy is imported in place of the original."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Union

from vllm_lint.analyzer.findings import Finding
from vllm_lint.cli.rule_facts import rule_facts
from vllm_lint.cli.sources import Sources
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed, Result
from vllm_lint.runtime_verifier.verdicts import from_targets as target_verdicts
from vllm_lint.runtime_verifier.verdicts import target_evidence

#: Marks the line that has to be blamed.
HERE = "# here"
#: As `vllm-lint verify` takes them.
TRACE_SIZE, SIZES = 509, (1, 2, 7, 64, 128, 256)

Promise = Literal["C1", "C2", "C3", "C4", "C5"]


@dataclass(frozen=True)
class Plant:
    """Lines that are put into the source of `module`.

    `code` goes in front of the statement of `function` that begins with the line `before`, `top` in front of the class
    or function at the top of the file that holds it, `init` at the end of that class's constructor. One line of them
    ends with `# here` unless the plant is harmless.
    """

    name: str
    architecture: str
    module: str
    function: str
    before: str
    code: str
    promise: Promise
    finds: tuple[str, ...] = ()
    """Codes that the marked line must have; none for what must stay clean."""
    top: str = ""
    init: str = ""
    also: tuple[str, ...] = ()
    """Codes that follow from the defect at lines that are not marked, such as that of forward."""
    gpu_only: str = ""
    """Why no CPU can show it."""

    @property
    def original(self) -> Path:
        """The file in the installed vLLM."""
        return self.package.parent.joinpath(*self.module.split(".")).with_suffix(".py")

    @property
    def package(self) -> Path:
        """The folder of the installed vLLM."""
        return Path(str(find_spec("vllm").origin)).parent  # type: ignore[union-attr]

    def write(self, folder: Path) -> tuple[Path, int]:
        """Write the copy; returns its path and the number of the marked line, 0 if there is none."""
        text = self._planted(self.original.read_text(encoding="utf-8"))
        copy = folder / self.name / self.original.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        marked = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith(HERE)]
        assert len(marked) == bool(self.finds), f"{self.name}: {len(marked)} lines are marked"
        return copy, marked[0] if marked else 0

    def job(self, copy: Path, folder: Path) -> Job:
        """The job of `vllm-lint verify --arch`, with the copy in place of the original."""
        return Job(
            target=self.architecture,
            provider="vllm",
            folder=str(folder),
            trace_size=TRACE_SIZE,
            sizes=SIZES,
            blame=True,
            timeout=120.0,
            overlay={str(self.original): str(copy)},
        )

    def _planted(self, text: str) -> str:
        lines = text.splitlines()
        path = _path_to(ast.parse(text), self.function.split("."))
        outer, inner = path[0], path[-1]
        places = [
            n.lineno - 1
            for n in ast.walk(inner)
            if isinstance(n, ast.stmt) and lines[n.lineno - 1].strip() == self.before
        ]
        assert len(places) == 1, f"{self.name}: {self.before!r} begins {len(places)} statements of {self.function}"
        inserted = {places[0]: self.code, min(n.lineno for n in (outer, *outer.decorator_list)) - 1: self.top}
        if self.init:
            constructor = _path_to(outer, ["__init__"])[0]
            inserted[constructor.body[-1].end_lineno or 0] = self.init
        for at, code in sorted(inserted.items(), reverse=True):
            like = at - 1 if code == self.init else at
            lines[at:at] = _indented(code, lines[like])
        return "\n".join(lines) + "\n"


Definition = Union[ast.ClassDef, ast.FunctionDef]


def _path_to(tree: ast.AST, names: list[str]) -> list[Definition]:
    path: list[Definition] = []
    for name in names:
        body: list[ast.stmt] = tree.body  # type: ignore[attr-defined]
        tree = next(n for n in body if isinstance(n, (ast.ClassDef, ast.FunctionDef)) and n.name == name)
        path.append(tree)
    return path


def _indented(code: str, like: str) -> list[str]:
    indent = " " * (len(like) - len(like.lstrip()))
    return textwrap.indent(textwrap.dedent(code).strip("\n"), indent).splitlines()


def findings(result: Result, folder: Path) -> tuple[Finding, ...]:
    """What `vllm-lint verify` would report of a job that wrote its traces to `folder`."""
    evidence = list(target_evidence.parts(result, folder))
    sources = Sources(Path("/"), [])
    for part in evidence:
        for compilation in part.compilations:
            sources.learn(compilation.graph_lines)
    return target_verdicts.find(evidence, rule_facts(), sources)


def unverified(result: Result) -> list[str]:
    """Why a target or a part of it was not captured."""
    return [outcome.message for outcome in result.outcomes if isinstance(outcome, EagerFailed)]
