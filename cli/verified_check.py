"""`vllm-lint check --verify`: a verdict for every static finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Finding, Promise, Root
from vllm_lint.cli.errors import Failure
from vllm_lint.cli.fix_proofs import with_proofs, without_proofs
from vllm_lint.cli.rule_facts import rule_facts, without_rules_of_other_versions
from vllm_lint.cli.verification import Run, Verifier, say_more, sources_of
from vllm_lint.cli.verify import vllm_job
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.pool import Registry, VerifierUnavailable, registry
from vllm_lint.runtime_verifier.verdicts import target_join
from vllm_lint.runtime_verifier.verdicts.from_traces import MISSING_SHAPE_ID

RootKey = tuple[str, int]
_MODELS = ("vllm", "model_executor", "models")


class _Targets:
    """What is captured for the roots of a check."""

    def __init__(self, verifier: Verifier, result: CheckResult, base: Path) -> None:
        self._verifier, self._base = verifier, base
        self._registry: Registry | None = None
        self._modes = verifier.settings.modes
        if any(f.code == MISSING_SHAPE_ID for f in result.findings):  # only these passes can tell
            self._modes = tuple(dict.fromkeys((*self._modes, "unbacked", "shared-unbacked")))
        self.jobs: list[Job] = verifier.harnesses()
        self.of_root: dict[RootKey, list[Job]] = {}
        self.reasons: dict[RootKey, str] = {}
        """Why there is no job for a root."""
        wanted = {(f.root.path, f.root.line) for f in result.findings if f.root is not None}
        if any(f.promise is Promise.HONEST_OPERATORS for f in result.findings):  # any root may call the operator
            wanted |= {(report.root.path, report.root.line) for report in result.roots}
        for report in result.roots:
            key = (report.root.path, report.root.line)
            if key in wanted:
                self.of_root[key] = self._jobs(report.root)
                self.jobs += [job for job in self.of_root[key] if job not in self.jobs]

    def of_finding(self, finding: Finding) -> list[Job]:
        """What may come to the code of a finding: any root may call an operator."""
        if finding.root is None:
            return self.jobs
        return [*self._verifier.harnesses(), *self.of_root.get((finding.root.path, finding.root.line), [])]

    def _jobs(self, root: Root) -> list[Job]:
        path = (self._base / root.path).resolve()
        if path.parts[-4:-1] == _MODELS:
            return self._architectures(root, path)
        names = root.name.split(".")
        if "<" in root.name or len(names) > 2:
            self.reasons[root.path, root.line] = f"{root.name} cannot be imported by its name; verify it with a harness"
            return []
        target = names[0] if names[-1] == "forward" and len(names) > 1 else root.name
        return [self._verifier.job(target, f"{root.path}:{target}", path=str(path), modes=self._modes)]

    def _architectures(self, root: Root, path: Path) -> list[Job]:
        """Of every class that vLLM's registry has from that file; the file is read in place of the installed one."""
        if self._registry is None:
            try:
                self._registry = registry(self._verifier.python)
            except VerifierUnavailable as error:
                raise Failure(str(error)) from error
        names = self._registry.of_file(path.stem)
        if not names:
            self.reasons[root.path, root.line] = f"vLLM's registry has no architecture from {path.name}"
        installed = Path(self._registry.folder, path.name)
        overlay = {} if installed == path else {str(installed): str(path)}
        return [vllm_job(self._verifier, name, overlay=overlay, modes=self._modes) for name in names]


def verified(result: CheckResult, verifier: Verifier, base: Path) -> CheckResult:
    """`result` with a verdict for every finding, and with what captures show and no rule predicted.

    Raises:
        Failure: nothing can be verified here.
    """
    targets = _Targets(verifier, result, base)
    if not targets.jobs:
        findings = tuple(_not_run(f, {}, None, targets) for f in result.findings)
        return replace(result, findings=without_proofs(findings))
    with verifier.run(targets.jobs) as run:
        sources = sources_of(run.evidence, base, [file.path for file in result.files])
        joined = target_join.join(result.findings, run.evidence, rule_facts(run.torch), sources)
        judged = without_rules_of_other_versions(joined, run.torch)
        say_more(run)
        reasons = _reasons(run, targets)
        findings = tuple(_not_run(f, reasons, run, targets) for f in judged)
        return replace(result, findings=with_proofs(findings, run, targets.of_finding, base))


def _reasons(run: Run, targets: _Targets) -> Mapping[RootKey, str]:
    """Why the targets of a root say nothing, for those of which none does."""
    by_key = {}
    for key, jobs in targets.of_root.items():
        placed = [ran for ran, job in zip(run.jobs, targets.jobs, strict=True) if job in jobs]
        said = [run.reason(job) for job in placed]
        if said and all(said):
            by_key[key] = f"{placed[0].target}: {said[0]}"
    return by_key


def _not_run(finding: Finding, reasons: Mapping[RootKey, str], run: Run | None, targets: _Targets) -> Finding:
    """With the reason, where nothing was captured that could reach it."""
    if run is not None and finding.verdict not in ("not reached", "not run"):
        return finding
    key = (finding.root.path, finding.root.line) if finding.root else None
    if key is None:
        reason: str | None = "it is about the source alone"
    else:
        reason = targets.reasons.get(key) or reasons.get(key)
        if reason is None and not targets.of_root.get(key):
            reason = "its root was not captured"
    if reason is None:
        return finding
    return msgspec.structs.replace(finding, verdict="not run", evidence=(reason,))
