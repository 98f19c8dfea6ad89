"""Adds what takes too long to work out at every check: fixes that move code into custom operators."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Finding
from vllm_lint.cli.options import Plan
from vllm_lint.rewriter.wrapper import Wrapper, Wrapping


def wrapper(plan: Plan, result: CheckResult) -> Wrapper:
    """What finds wrappers for the findings of `result`."""
    settings = plan.settings
    return Wrapper(engine.program(settings), settings.base, result.findings, settings.roots)


def with_wrappers(plan: Plan, result: CheckResult) -> CheckResult:
    """The result with a wrapper as the fix of each finding that has no other, where there is a complete one."""
    wrap = wrapper(plan, result)

    def fixed(finding: Finding) -> Finding:
        found = wrap.wrapped(finding) if not finding.fixes else ""
        if not isinstance(found, Wrapping) or found.incomplete:
            return finding
        return msgspec.structs.replace(finding, fixes=(found.fix,))

    return replace(result, findings=tuple(map(fixed, result.findings)))
