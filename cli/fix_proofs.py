"""Tries each fix on a copy of its file: the copy must be captured, and do what the file does without compilation."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vllm_lint.analyzer.discovery import display_name
from vllm_lint.analyzer.findings import Finding, Fix, Proof
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.cli.fixes import Rewrite, rewritten
from vllm_lint.cli.rule_facts import rule_facts
from vllm_lint.cli.verification import Run, run_in, sources_of
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import Changed, NotCompared, Outcome
from vllm_lint.runtime_verifier.verdicts import from_targets, target_join

#: Token counts at which the copy is compared with the file: one, few, and around a power of two.
SIZES = (1, 2, 3, 127, 128, 129)
Judged = tuple[Proof, str]


@dataclass
class _Candidate:
    """A fix, with the findings that offer it and the jobs that come to the code that it changes."""

    fix: Fix
    findings: list[Finding]
    jobs: list[Job]


def with_proofs(
    findings: Sequence[Finding], run: Run, jobs_of: Callable[[Finding], Sequence[Job]], base: Path
) -> tuple[Finding, ...]:
    """The findings, with a proof for the first fix of each; `jobs_of` gives the jobs of the root of a finding."""
    prover = _Prover(run, base)
    by_fix: dict[Fix, list[Finding]] = {}
    for finding in findings:
        for fix in finding.fixes[:1]:
            by_fix.setdefault(fix, []).append(finding)
    judged: dict[Fix, Judged] = {}
    by_file: dict[str, list[_Candidate]] = {}
    for fix, offering in by_fix.items():
        jobs = [job for f in offering for job in jobs_of(f)]
        reached = [job for job in _placed(run, jobs) if prover.comes_to(offering, job)]
        if all(f.verdict == "refuted" for f in offering):
            judged[fix] = "rejected", "what it is to repair is refuted"
        elif not reached:
            judged[fix] = "not run", next((line for f in offering for line in f.evidence), "no target comes there")
        else:
            by_file.setdefault(fix.edits[0].span.path, []).append(_Candidate(fix, offering, reached))
    for name, candidates in by_file.items():
        judged |= prover.proved(name, candidates)
    return tuple(_marked(finding, judged) for finding in findings)


def without_proofs(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The same where there is nothing to run."""
    judged: dict[Fix, Judged] = {
        f.fixes[0]: ("not run", next(iter(f.evidence), "no target comes there")) for f in findings if f.fixes
    }
    return tuple(_marked(finding, judged) for finding in findings)


def _placed(run: Run, jobs: Sequence[Job]) -> Iterator[Job]:
    """The jobs as they were run, with their folders."""
    for ran in run.jobs:
        if msgspec.structs.replace(ran, folder="") in jobs:
            yield ran


def _marked(finding: Finding, judged: dict[Fix, Judged]) -> Finding:
    if not finding.fixes or finding.fixes[0] not in judged:
        return finding
    first, *rest = finding.fixes
    proof, reason = judged[first]
    marked = msgspec.structs.replace(first, proof=proof, reason=reason)
    return msgspec.structs.replace(finding, fixes=(marked, *rest))


class _Prover:
    """Runs copies of files in place of the files."""

    def __init__(self, run: Run, base: Path) -> None:
        self._run, self._base = run, base
        self._numbers = itertools.count()
        self._evidence = {job.folder: run.evidence_of(job) for job in run.jobs}

    def comes_to(self, findings: Sequence[Finding], job: Job) -> bool:
        """Whether what a job captured shows one of `findings`, or has operations of the function that it is in."""
        evidence = self._evidence[job.folder]
        sources = sources_of(evidence, self._base, [f.path for f in findings])
        return any(
            f.verdict in ("confirmed", "undecided") or target_join.is_traced(f, part, sources)
            for f in target_join.join(findings, evidence, rule_facts(self._run.torch), sources)
            for part in evidence
        )

    def proved(self, name: str, candidates: Sequence[_Candidate]) -> dict[Fix, Judged]:
        """All fixes of a file at once; where that is not clean, each by itself."""
        path = Path(os.path.normpath(self._base / name))
        source = read_source(path, name)
        if not isinstance(source, SourceFile):
            return {c.fix: ("not run", source.reason) for c in candidates}
        together = self._trial(source, candidates) if len(candidates) > 1 else {}
        if together and all(proof == "proved" for proof, _ in together.values()):
            return together
        alone: dict[Fix, Judged] = {}
        for candidate in candidates:
            alone |= self._trial(source, [candidate])
        return alone

    def _trial(self, source: SourceFile, candidates: Sequence[_Candidate]) -> dict[Fix, Judged]:
        rewrite = rewritten(source, [c.fix for c in candidates])
        if rewrite.applied != len(candidates):
            return {c.fix: ("rejected", "it would leave something that is not Python") for c in candidates}
        folder = self._run.pool.scratch / f"fixes-{next(self._numbers)}"
        copy = folder / source.path.name
        folder.mkdir(parents=True)
        copy.write_bytes(rewrite.data)
        jobs = list(dict.fromkeys(job.folder for c in candidates for job in c.jobs))
        before = {job.folder: job for job in self._run.jobs}
        trials = [_with_copy(before[name], source.path, copy) for name in jobs]
        tried = run_in(self._run.pool, folder, trials)
        found: dict[Fix, Judged] = {}
        for candidate in candidates:
            judged = [
                self._judge(candidate, tried, trial, before[name], rewrite, copy)
                for name, trial in zip(jobs, tried.jobs, strict=True)
                if before[name] in candidate.jobs
            ]
            found[candidate.fix] = min(judged, key=lambda j: ("rejected", "not run", "proved").index(j[0]))
        return found

    def _judge(self, candidate: _Candidate, tried: Run, job: Job, before: Job, rewrite: Rewrite, copy: Path) -> Judged:
        """What one job says: it fails, differs from the file, still shows the finding or shows something new."""
        if job.folder in tried.failures:
            return "not run", f"{job.target}: {tried.reason(job)}"
        after, earlier = tried.results[job.folder], self._run.results[before.folder]
        if (reason := tried.reason(job)) is not None:
            return "rejected", f"{job.target} does not run with it: {reason}"
        for outcome in after.outcomes:
            if isinstance(outcome, NotCompared):
                return "not run", f"{job.target}: there is nothing to compare with: {outcome.message}"
            if isinstance(outcome, Changed) and (candidate.fix.safety == "safe" or outcome.aspect == "output"):
                sizes = ", ".join(map(str, outcome.sizes[:4]))
                return "rejected", f"{job.target} does something else with it at {sizes} tokens: {outcome.detail}"
        if shown := self._shown(candidate, tried, job, before, rewrite, copy):
            return "rejected", f"{job.target}: {shown}"
        # Behind what stops a capture nobody sees what else is there.
        new = set(map(_kind, after.outcomes)) - set(map(_kind, earlier.outcomes))
        if new and any(part.replayed for part in earlier.parts):
            return "rejected", f"{job.target}: with it the capture shows {min(new)}, and did not before"
        compared = sorted({n for part in after.parts for n in part.compared})
        if not compared:
            return "not run", f"{job.target}: it raises at every size without it"
        replayed = any(part.replayed for part in after.parts)
        rest = "captured and replayed" if replayed else "no longer shown, while something else stops the capture"
        return "proved", f"{job.target}: equal without compilation at {', '.join(map(str, compared))} tokens, {rest}"

    def _shown(self, candidate: _Candidate, tried: Run, job: Job, before: Job, rewrite: Rewrite, copy: Path) -> str:
        """What the capture of the copy shows of the findings, or else at what the fix wrote; empty if nothing."""
        evidence, rules = tried.evidence_of(job), rule_facts(tried.torch)
        sources = sources_of(evidence, self._base)
        name = display_name(copy, self._base)
        moved = [_moved(finding, rewrite, name) for finding in candidate.findings]
        own = {(f.code, f.path, f.line) for f in moved}
        joined = target_join.join(moved, evidence, rules, sources)
        for finding in joined:
            if finding.verdict == "confirmed" and (finding.code, finding.path, finding.line) in own:
                return f"the capture still shows {finding.code}: {finding.evidence[0]}"
        known = {f.code for f in from_targets.find(self._evidence[before.folder], rules, sources)}
        written = {line for edit in candidate.fix.edits for line in rewrite.lines_of(edit.span)}
        for finding in joined:
            is_new = (finding.code, finding.path, finding.line) not in own and finding.code not in known
            if is_new and finding.path == name and finding.line in written:
                return f"the capture shows {finding.code} at what it writes: {finding.message}"
        return ""


def _moved(finding: Finding, rewrite: Rewrite, name: str) -> Finding:
    lines = rewrite.lines_of(finding.span)
    return msgspec.structs.replace(finding, path=name, line=lines[0], end_line=lines[-1], verdict=None)


def _kind(outcome: Outcome) -> str:
    """What an outcome is, without its place, which a fix may move."""
    words = (type(outcome).__name__, getattr(outcome, "id", ""), getattr(outcome, "kind", ""))
    return " ".join(filter(None, words))


def _with_copy(job: Job, path: Path, copy: Path) -> Job:
    """The job with the copy in place of the file, and to be compared with what it was."""
    real = path.resolve()
    overlay = {name: str(copy) if Path(read).resolve() == real else read for name, read in job.overlay.items()}
    return msgspec.structs.replace(
        job,
        folder="",
        overlay={**overlay, str(real): str(copy)},
        reference=msgspec.structs.replace(job, folder=""),
        sizes=tuple(dict.fromkeys((*SIZES, *job.sizes))),
    )
