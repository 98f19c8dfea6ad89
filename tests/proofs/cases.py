"""Finds the cases in fixtures/ and reads what they claim, without importing them."""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from vllm_lint.runtime_verifier.jobs import SIZES, Job
from vllm_lint.runtime_verifier.outcomes import CheckLost, GraphBreak, Outcome, ReplayFailed, ShapeGuard, WrongAnswer
from vllm_lint.runtime_verifier.proofs import PROOFS
from vllm_lint.runtime_verifier.versions import NEWEST_TORCH, Version, parsed

FIXTURES = Path(__file__).parents[2] / "fixtures"
#: What an older torch does with a case that a newer one breaks at.
CAPTURED, FAILED = "captured", "capture-failed"
_AT_SIZES = {
    "wrong at": WrongAnswer,
    "check lost at": CheckLost,
    "fails at": ReplayFailed,
    "guard fails at": ShapeGuard,
}
_NAMES = {
    WrongAnswer: "wrong-answer",
    CheckLost: "check-lost",
    ReplayFailed: "replay-failed",
    ShapeGuard: "shape-guard",
}
_PLAIN = {
    "specialized": "specialized",
    "data-dependent error": "data-dependent",
    "unbacked error": "unbacked-error",
    "runtime assert when unbacked": "runtime-assert",
    "host sync in graph": "graph-sync",
    "operator writes to an undeclared argument": "undeclared-mutation",
    "operator returns memory of an argument": "output-aliases-input",
    "operator's fake disagrees": "fake-disagrees",
    "state guard": "state-guard",
    "rebound": "rebound",
    "decorator raises": "decorator-error",
    CAPTURED: CAPTURED,
    "capture fails": FAILED,
}


@dataclass(frozen=True)
class Claim:
    """One `Proof:` line: what Dynamo must show about a case; with `before`, what an older torch shows instead."""

    proof: str
    kind: type | None = None
    sizes: tuple[int, ...] = ()
    backend: str = "eager"
    break_id: str = ""
    before: Version | None = None
    change: str = ""

    @classmethod
    def on_line(cls, line: str) -> Claim | None:
        """`Proof: wrong at 1`, or `Proof before torch 2.12: graph break`; None for any other line of a docstring."""
        found = re.fullmatch(r"Proof(?: before torch (\d+\.\d+))?: (.+)", line)
        return replace(cls.parse(found[2].strip()), before=parsed(found[1] or "")) if found else None

    @classmethod
    def parse(cls, text: str) -> Claim:
        if found := re.fullmatch(r"stale artifact with (\S+=\S+)", text):
            return cls("stale-artifact", change=found[1])
        if text in _PLAIN:
            return cls(_PLAIN[text])
        if found := re.fullmatch(r"graph break ?(GB\d+)?", text):
            return cls("graph-break", break_id=found[1] or "")
        found = re.fullmatch(r"([a-z ]+ at) ([\d, ]+?)(?: under (aot_eager|inductor))?", text)
        if found is None or found[1] not in _AT_SIZES:
            raise ValueError(f"not a proof: {text!r}")
        kind = _AT_SIZES[found[1]]
        sizes = tuple(int(n) for n in found[2].split(","))
        return cls(_NAMES[kind], kind, sizes, found[3] or "eager")

    def holds_for(self, outcome: Outcome) -> bool:
        if self.kind is ShapeGuard:
            return isinstance(outcome, ShapeGuard) and tuple(n for n in SIZES if n in outcome.fails_at) == self.sizes
        if isinstance(outcome, (WrongAnswer, CheckLost, ReplayFailed)):
            # What is replayed besides, next to the bound of a guard, is for the verifier to choose.
            sizes = tuple(n for n in outcome.sizes if n in (*SIZES, *self.sizes))
            return (type(outcome), outcome.backend, sizes) == (self.kind, self.backend, self.sizes)
        if isinstance(outcome, GraphBreak) and self.break_id not in ("", outcome.id):
            return False
        return PROOFS[self.proof](outcome)


@dataclass(frozen=True)
class Case:
    """One decorated class of a fixture file."""

    path: Path
    name: str
    line: int
    end_line: int
    all_claims: tuple[Claim, ...]
    guards_harmless: bool
    trace_size: int
    changes: tuple[str, ...]
    """Settings that are tried for another graph under the same key."""
    arguments: tuple[str, ...]
    """What forward requires: floats of shape (n, 8), where the file's own inputs say nothing else."""

    @property
    def id(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}/{self.name}"

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What the installed torch must show: the claims about the oldest range of versions that it is in."""
        bounds = sorted({c.before for c in self.all_claims if c.before is not None and installed_torch() < c.before})
        bound = bounds[0] if bounds else None
        return tuple(c for c in self.all_claims if c.before == bound)

    @property
    def rule(self) -> str:
        return self.path.parent.name.partition("_")[0]

    @property
    def job(self) -> Job:
        kind = self.path.stem.partition("_")[0]
        flagged = self.path.with_name(self.path.name.replace("repaired", "flagged"))
        return Job(
            path=str(self.path),
            target=self.name,
            standins=True,
            shape=self._shape,
            trace_size=self.trace_size,
            modes=("backed", "unbacked", "breaks") if kind == "flagged" else ("backed", "unbacked"),
            backends=("eager", *sorted({c.backend for c in self.claims} - {"eager"})),  # type: ignore[arg-type]
            reference=self.reference(flagged) if kind == "repaired" and _can_be_imported(flagged) else None,
        )

    def reference(self, path: Path) -> Job:
        """The case of the same name in another file, to compare eager results with."""
        return Job(path=str(path), target=self.name, standins=True, shape=self._shape, trace_size=self.trace_size)

    @property
    def _shape(self) -> str:
        return " ".join(f"{name}=n,8:float32" for name in self.arguments)


@functools.cache
def installed_torch() -> Version:
    """Of the interpreter that runs the tests; where there is none, nothing is captured and the newest will do."""
    try:
        return parsed(metadata.version("torch")) or NEWEST_TORCH
    except metadata.PackageNotFoundError:
        return NEWEST_TORCH


def cases_in(path: Path) -> list[Case]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    trace_size = 256
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TRACE_SIZE":
            trace_size = int(ast.literal_eval(node.value))
    classes = (n for n in tree.body if isinstance(n, ast.ClassDef))
    return [
        _case(path, node, trace_size)
        for node in classes
        if any("support_torch_compile" in ast.unparse(d) for d in node.decorator_list)
    ]


def _case(path: Path, node: ast.ClassDef, trace_size: int) -> Case:
    lines = [line.strip() for line in (ast.get_docstring(node) or "").splitlines()]
    claims = tuple(claim for claim in map(Claim.on_line, lines) if claim)
    first = min(d.lineno for d in node.decorator_list)
    end = node.end_lineno or first
    arguments = _required_arguments(node)
    changes = [line.removeprefix("Change:").strip() for line in lines if line.startswith("Change:")]
    changes += [claim.change for claim in claims if claim.change]
    harmless = "Guards: harmless" in lines
    return Case(path, node.name, first, end, claims, harmless, trace_size, tuple(changes), arguments)


def _can_be_imported(path: Path) -> bool:
    return all(claim.proof != "decorator-error" for case in cases_in(path) for claim in case.claims)


def _required_arguments(cls: ast.ClassDef) -> tuple[str, ...]:
    for method in cls.body:
        if isinstance(method, ast.FunctionDef) and method.name == "forward":
            names = [a.arg for a in (*method.args.posonlyargs, *method.args.args)][1:]
            return tuple(names[: len(names) - len(method.args.defaults)])
    return ()


@functools.cache
def all_cases() -> tuple[Case, ...]:
    return tuple(c for path in sorted(FIXTURES.glob("VL*/*.py")) for c in cases_in(path))


def expected_lines(folder: Path) -> dict[Path, dict[int, set[str]]]:
    """`# expect:` comments of a fixture folder: file to line to rule codes."""
    marked: dict[Path, dict[int, set[str]]] = {}
    for path in sorted(folder.rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if found := re.search(r"# expect: (VL\d{3}(?:, VL\d{3})*)$", line):
                marked.setdefault(path, {})[number] = set(found[1].split(", "))
    return marked
