"""Runs targets and collects their evidence, for `verify` and `check --verify`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec

from vllm_lint.analyzer.findings import Confidence, Finding
from vllm_lint.cli import tlparse
from vllm_lint.cli.configuration import Loaded, Verification
from vllm_lint.cli.errors import Failure
from vllm_lint.cli.output.summary import plural
from vllm_lint.cli.progress import Progress
from vllm_lint.cli.sources import Sources
from vllm_lint.cli.verification_options import Given
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import Result
from vllm_lint.runtime_verifier.pool import Pool, VerifierUnavailable, WorkerError
from vllm_lint.runtime_verifier.trace.log import TraceLog
from vllm_lint.runtime_verifier.verdicts import target_evidence
from vllm_lint.runtime_verifier.verdicts.target_evidence import PartEvidence

_BYTES = 1 << 30


@dataclass
class Run:
    """What came of all jobs. `pool` and `folder` (of the traces) are there for more of them until the run ends."""

    pool: Pool
    folder: Path
    jobs: list[Job]
    results: dict[str, Result] = field(default_factory=dict)
    """By the folder of the job."""
    failures: dict[str, str] = field(default_factory=dict)
    """Defects of the tool itself, by the folder of the job."""
    evidence: list[PartEvidence] = field(default_factory=list)
    torch: str = ""
    """The version of torch that everything ran with."""

    def reason(self, job: Job) -> str | None:
        """Why there is nothing, or not everything, of a job."""
        if job.folder in self.failures:
            return f"internal error: {self.failures[job.folder]}"
        result = self.results[job.folder]
        outcomes = (*result.whole, *(o for part in result.parts if not part.replayed for o in part.outcomes))
        stopped = [o for o in outcomes if type(o).__name__ in _NO_VERDICT]
        return _said(stopped[0]) if stopped else None

    def evidence_of(self, job: Job) -> list[PartEvidence]:
        """What the traces of one job hold."""
        result = self.results.get(job.folder)
        return [] if result is None else list(target_evidence.parts(result, Path(job.folder)))


_NO_VERDICT = ("EagerFailed", "Crashed", "TimedOut", "OutOfMemory")


def _said(outcome: Any) -> str:
    kind = type(outcome).__name__
    if kind == "Crashed":
        how = f"signal {-outcome.status}" if outcome.status < 0 else f"status {outcome.status}"
        return f"its process ended with {how}"
    if kind == "TimedOut":
        return f"it took longer than {outcome.seconds:g} s (--timeout)"
    if kind == "OutOfMemory":
        return f"it needs more than {outcome.limit / _BYTES:.3g} GiB (--memory)"
    return str(outcome.message)


class Verifier:
    """One pool, with the settings of the configuration and the command line."""

    def __init__(self, given: Given, loaded: Loaded, jobs: int) -> None:
        """Merge the settings.

        Raises:
            Failure: tlparse is needed and not there.
        """
        changed = {key: value for key, value in given.settings.items() if value is not None}
        self.settings = msgspec.convert({**msgspec.to_builtins(loaded.values.verify), **changed}, Verification)
        self._base = loaded.folders["verify"]
        self._given, self._jobs = given, jobs
        self.python = sys.executable
        if self.settings.python is not None:
            from_file = "python" not in changed and "/" in self.settings.python
            self.python = str(loaded.path("verify", self.settings.python)) if from_file else self.settings.python
        if given.html is not None and shutil.which("tlparse") is None:
            raise Failure("--html needs tlparse, which is not installed: pip install tlparse")

    def job(self, target: str, name: str, **options: Any) -> Job:
        """A job for a target that the user calls `name`."""
        settings = self.settings
        return Job(
            target=target,
            search=(str(self._base),),
            shape=options.pop("shape", "") or settings.shapes.get(name, ""),
            timeout=settings.timeout,
            memory=int(settings.memory * _BYTES),
            modes=options.pop("modes", settings.modes),
            backends=settings.replay,
            blame=True,
            **options,
        )

    def harnesses(self) -> list[Job]:
        """Those that the configuration names."""
        return [self.harness(name, self._base) for name in self.settings.harness]

    def harness(self, name: str, base: Path) -> Job:
        """A job for a function, in a file relative to `base` or in a module.

        Raises:
            Failure: it has another form.
        """
        path, _, function = name.rpartition(":")
        if not path:
            raise Failure(f"harness {name!r} has no function: expected package.module:function")
        where = str((base / path).absolute()) if path.endswith(".py") else path
        return self.job(function, name, provider="harness", path=where)

    @contextmanager
    def run(self, jobs: Sequence[Job]) -> Iterator[Run]:
        """Run `jobs`, with progress on a terminal; the traces are there until the end, and longer if asked for.

        Raises:
            Failure: nothing can be verified here.
        """
        needs_vllm = any(job.provider == "vllm" for job in jobs)
        try:
            pool = Pool(self._jobs, self.python, device=self.settings.device, needs_vllm=needs_vllm)
        except VerifierUnavailable as error:
            raise Failure(str(error)) from error
        with pool:
            for note in pool.notes:
                click.echo(f"vllm-lint: {note}", err=True)
            run = run_in(pool, (self._given.trace_dir or pool.scratch).absolute(), jobs)
            self._render(run)
            yield run

    def _render(self, run: Run) -> None:
        if self._given.html is None:
            return
        for job in run.jobs:
            for part in run.results[job.folder].parts if job.folder in run.results else ():
                for log in part.logs.values():
                    out = self._given.html / Path(job.folder).name / Path(log).stem
                    out.parent.mkdir(parents=True, exist_ok=True)
                    tlparse.render(TraceLog(Path(job.folder, log)), out)
        click.echo(f"vllm-lint: tlparse wrote {self._given.html}", err=True)

    def fails(self, finding: Finding) -> bool:
        """Whether a finding makes the exit status 1."""
        if self.settings.fail_on == "any":
            return finding.verdict != "refuted"
        if finding.verdict == "confirmed" or self.settings.fail_on == "confirmed":
            return finding.verdict == "confirmed"
        if finding.verdict == "undecided":
            return True
        return finding.verdict != "refuted" and finding.confidence is Confidence.HIGH


def run_in(pool: Pool, folder: Path, jobs: Sequence[Job]) -> Run:
    """Run `jobs`, with progress on a terminal, and keep their traces in `folder`."""
    placed = [msgspec.structs.replace(j, folder=str(folder / _folder(i, j))) for i, j in enumerate(jobs)]
    run = Run(pool, folder, placed, torch=pool.torch)
    with Progress(len(placed)) as progress:
        for job, result in pool.completed(placed):
            if isinstance(result, WorkerError):
                run.failures[job.folder] = str(result).strip().rpartition("\n")[2]
            else:
                run.results[job.folder] = result
            progress.done(job.target, run.reason(job) or "verified")
    for job in placed:
        run.evidence += run.evidence_of(job)
    return run


def sources_of(evidence: Sequence[PartEvidence], base: Path, files: Sequence[str] = ()) -> Sources:
    """The files that the traces speak of, on this machine."""
    sources = Sources(base, files)
    for part in evidence:
        for compilation in part.compilations:
            sources.learn(compilation.graph_lines)
    return sources


def say_more(run: Run) -> None:
    """How much was done, on stderr."""
    parts = [part for result in run.results.values() for part in result.parts]
    replays = sum(len(part.replayed) for part in parts)
    text = f"{plural(len(run.jobs), 'target')}, {plural(len(parts), 'capture')}, {plural(replays, 'replay')}"
    platforms = " and ".join(sorted({result.platform for result in run.results.values() if result.parts}))
    click.echo(f"vllm-lint: {text}{' on ' if platforms else ''}{platforms}", err=True)


def _folder(number: int, job: Job) -> str:
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(job.target).name)
    return f"{number}-{name}"
