"""Brings what a trace shows together with what the static rules found."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from vllm_lint.analyzer.findings import Finding, Promise, Verdict
from vllm_lint.runtime_verifier.outcomes import Place
from vllm_lint.runtime_verifier.trace.evidence import Compilation
from vllm_lint.runtime_verifier.trace.size_guards import judge
from vllm_lint.runtime_verifier.verdicts.from_traces import (
    ACROSS_INPUTS,
    BRANCH,
    DIVISIBILITY,
    FAKE_DISAGREES,
    OUTPUT_ALIASES_INPUT,
    SPECIALIZED,
    TOKEN_INDEX,
    UNDECLARED_MUTATION,
    Sources,
    origin,
)

#: A rule about breaks of which a graph keeps no trace: the handler of an exception that is never raised.
_LOST_HANDLER = "VL112"
#: Rules about conditions on sizes, which leave a guard.
_CONDITIONS = (BRANCH, ACROSS_INPUTS, TOKEN_INDEX)
#: Rules that a run sees broken by what an operator does, with those whose findings that proves.
_OPERATORS = {
    UNDECLARED_MUTATION: (UNDECLARED_MUTATION,),
    OUTPUT_ALIASES_INPUT: (OUTPUT_ALIASES_INPUT,),
    FAKE_DISAGREES: (FAKE_DISAGREES, "VL302", "VL307"),
}
_OPERATOR = re.compile(r"`(\w+::\w+)`")
Lines = dict[tuple[str, int], str]


@dataclass
class _Shown:
    """What the trace shows of lines that turned out to be harmless, each with the compilation that shows it."""

    captured: Lines = field(default_factory=dict)
    """Lines of which a graph has operations that were captured with sizes left open."""
    benign: Lines = field(default_factory=dict)
    """Lines with conditions on sizes that hold for all of them."""
    implied: Lines = field(default_factory=dict)
    """Lines where an operation asked what a decision or operation that is told elsewhere decides."""


def join(
    static: Sequence[Finding],
    traced: Sequence[Finding],
    compilations: Collection[tuple[str, Compilation]],
    sources: Sources,
) -> list[Finding]:
    """The static findings, each with a verdict, and those of the trace that no rule predicted, in source order.

    A static finding is proved by what the trace shows on its lines about the same promise.
    """
    shown = _collect(compilations, sources)
    left = list(traced)
    joined = []
    for finding in static:
        proofs = [t for t in traced if _is_about(t, finding)]
        left = [t for t in left if t not in proofs]
        if proofs:
            verdict: Verdict = "confirmed" if any(p.verdict == "confirmed" for p in proofs) else "undecided"
            evidence = tuple(dict.fromkeys(line for proof in proofs for line in proof.evidence))
        else:
            verdict, evidence = _without_proof(finding, shown)
        joined.append(msgspec.structs.replace(finding, verdict=verdict, evidence=evidence))
    return sorted([*joined, *left], key=lambda finding: finding.sort_key)


def _is_about(traced: Finding, static: Finding) -> bool:
    if traced.code in _OPERATORS:
        return static.code in _OPERATORS[traced.code] and operator_of(traced) == operator_of(static)
    on_line = traced.path == static.path and static.line <= traced.line <= static.end_line
    return on_line and traced.promise == static.promise


def operator_of(finding: Finding) -> str:
    """The custom operator that a finding is about, such as `vllm::rms_norm`; empty if it is about none.

    A run sees it where it is called, and the rules where it is implemented: the name that both say is what joins them.
    """
    named = _OPERATOR.search(finding.message)
    return named[1] if named else ""


def _without_proof(finding: Finding, shown: _Shown) -> tuple[Verdict, tuple[str, ...]]:
    # What breaks a graph, fixes a size or needs a multiple leaves an event: a graph without one speaks against it.
    breaks = finding.promise is Promise.CAPTURE and finding.code != _LOST_HANDLER
    is_loud = breaks or finding.code in (SPECIALIZED, DIVISIBILITY)
    if not is_loud and finding.code not in _CONDITIONS:
        return "not run", ("a trace cannot show this",)
    lines = [(finding.path, line) for line in range(finding.line, finding.end_line + 1)]
    for at in lines:
        if at in shown.implied and finding.code in (*_CONDITIONS, DIVISIBILITY):
            return "confirmed", (f"{shown.implied[at]}: an operation on this line asked, and the guard was dropped",)
        if at in shown.benign and finding.code in (*_CONDITIONS, DIVISIBILITY):
            return "refuted", (f"{shown.benign[at]}: the condition on this line holds for every size",)
    # A branch may be decided without a guard (statically_known_true), so operations on its line prove nothing.
    for at in lines:
        if at in shown.captured and is_loud:
            return "refuted", (
                f"{shown.captured[at]}: the line was captured, and neither broke the graph nor fixed a size",
            )
    return "not reached", ("the trace does not show that the run came to this line",)


def _collect(compilations: Collection[tuple[str, Compilation]], sources: Sources) -> _Shown:
    shown = _Shown()
    for log, compilation in compilations:
        if not compilation.captured or compilation.failure or compilation.breaks or compilation.specialized:
            continue
        if not any(symbol.source for symbol in compilation.symbols.values()):
            continue  # captured for one size only, so nothing can be said of others
        name = origin(log, compilation)
        spans = (sources.locate(Place(path, line, "")) for path, line in compilation.graph_lines)
        shown.captured.update(((span.path, span.line), name) for span in spans)
        for judgement in judge(compilation):
            found = {"equal lengths": shown.benign, "always true": shown.benign, "implied": shown.implied}
            if judgement.benign in found:
                span = sources.locate(judgement.guard.stack[-1])
                found[judgement.benign][span.path, span.line] = name
    return shown
