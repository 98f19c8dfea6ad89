"""Brings what a verification shows together with what the static rules found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from vllm_lint.analyzer.findings import Finding, Verdict
from vllm_lint.runtime_verifier.outcomes import DataDependent, Part, ShapeGuard
from vllm_lint.runtime_verifier.verdicts import from_targets as target_verdicts
from vllm_lint.runtime_verifier.verdicts import trace_join
from vllm_lint.runtime_verifier.verdicts.from_traces import (
    HOST_SYNC,
    MISSING_SHAPE_ID,
    UNDECLARED,
    ZERO_ONE,
    RuleFacts,
    Sources,
)
from vllm_lint.runtime_verifier.verdicts.target_evidence import PartEvidence

Judged = tuple[Verdict, str]
#: What is said if several captures say different things.
_WEIGHT: tuple[Verdict, ...] = ("confirmed", "refuted", "not run")


def join(
    static: Sequence[Finding], evidence: Sequence[PartEvidence], rules: Mapping[str, RuleFacts], sources: Sources
) -> list[Finding]:
    """The static findings, each with a verdict, and what the captures show that no rule predicted."""
    found = target_verdicts.find(evidence, rules, sources)
    compilations = [(part.name, compilation) for part in evidence for compilation in part.compilations]
    joined = trace_join.join(static, found, compilations, sources)
    predicted = {(f.code, f.path, f.line) for f in static}
    return [
        _judged(f, evidence, sources)
        if (f.code, f.path, f.line) in predicted and f.verdict in ("not run", "not reached")
        else f
        for f in joined
    ]


def _judged(finding: Finding, evidence: Sequence[PartEvidence], sources: Sources) -> Finding:
    """With the verdict of the passes and replays of its root, where they can tell."""
    judge = _JUDGES.get(finding.code)
    if judge is None:
        return finding
    said = [
        (verdict, f"{part.name}: {text}")
        for part in evidence
        if _is_root(finding, part.part)
        for verdict, text in judge(finding, part, sources)
    ]
    for wanted in _WEIGHT:
        lines = tuple(text for verdict, text in said if verdict == wanted)
        if lines:
            return msgspec.structs.replace(finding, verdict=wanted, evidence=lines)
    return finding


def _is_root(finding: Finding, part: Part) -> bool:
    return finding.root is not None and finding.root.name.partition(".")[0] == part.name


def _zero_one(finding: Finding, evidence: PartEvidence, sources: Sources) -> list[Judged]:
    """A decision about one token leaves no guard: only a replay at 1 can tell, and only if it was asked."""
    part = evidence.part
    if 1 not in part.replayed or not is_traced(finding, evidence, sources):
        return []
    for difference in target_verdicts.differences(part):
        if 1 in difference.sizes:
            return [("not run", "replay is wrong at 1, and something else may be the cause; verify again without that")]
    if not _is_asked(finding, part, sources):
        return []
    return [("refuted", "replay with guards dropped gave eager's answer at 1")]


def _is_asked(finding: Finding, part: Part, sources: Sources) -> bool:
    """Whether Python came to the condition: of `cached and n == 1` the second half is not asked without a cache."""
    asked = (o.stack[-1] for o in part.outcomes if isinstance(o, ShapeGuard) and o.mode == "oblivious" and o.stack)
    spans = map(sources.locate, asked)
    return any(span.path == finding.path and finding.line <= span.line <= finding.end_line for span in spans)


def is_traced(finding: Finding, evidence: PartEvidence, sources: Sources) -> bool:
    """Whether the graph has operations of the function that the finding is in."""
    first, last = sources.function_lines(finding.span)
    return any(
        span.path == finding.path and first <= span.line <= last
        for compilation in evidence.compilations
        for span in map(sources.locate_line, compilation.graph_lines)
    )


def _shape_id(finding: Finding, evidence: PartEvidence, sources: Sources) -> list[Judged]:  # noqa: ARG001  one signature
    """Only the pass that marks dims as unbacked needs shape ids."""
    part = evidence.part
    if not {"unbacked", "shared-unbacked"} <= part.logs.keys():
        return [("not run", "only the passes `unbacked` and `shared-unbacked` can tell (--modes)")]
    failed = {o.mode: o for o in part.outcomes if isinstance(o, DataDependent)}
    if "unbacked" not in failed:
        return [("refuted", "captured with every size unbacked")]
    if "shared-unbacked" in failed:
        asked = failed["shared-unbacked"].expression
        return [("not run", f"unbacked, the capture fails even with one size for all, at `{asked}`")]
    return [
        ("confirmed", f"unbacked, the capture fails at `{failed['unbacked'].expression}`; with one size it does not")
    ]


def _undeclared(finding: Finding, evidence: PartEvidence, sources: Sources) -> list[Judged]:  # noqa: ARG001  one signature
    """A size that was not declared is baked in, so every other size shows it."""
    part = evidence.part
    others = [n for n in part.replayed if n != max(part.replayed)]
    if not others:
        return []
    for difference in target_verdicts.differences(part):
        if set(others) <= {*difference.sizes, 1}:
            return [("confirmed", target_verdicts.said(difference, difference.sizes))]
    if not list(target_verdicts.differences(part)):
        return [("refuted", "replay with guards dropped gave eager's answer at every size")]
    return []


def _host_sync(finding: Finding, evidence: PartEvidence, sources: Sources) -> list[Judged]:
    """A sync that Dynamo captured and the compiler removed is no harm; where nothing was recorded nobody can tell."""
    if evidence.part.graphed and is_traced(finding, evidence, sources):
        return [("refuted", "CUDA recorded the compiled forward")]
    return []


_JUDGES: dict[str, Callable[[Finding, PartEvidence, Sources], list[Judged]]] = {
    HOST_SYNC: _host_sync,
    ZERO_ONE: _zero_one,
    UNDECLARED: _undeclared,
    MISSING_SHAPE_ID: _shape_id,
}
