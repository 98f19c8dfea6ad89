"""One line a finding."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Finding
from vllm_lint.cli.console import Style, visible
from vllm_lint.cli.output import Context
from vllm_lint.cli.output.summary import position, summary_line


def concise_line(finding: Finding, style: Style) -> str:
    """`path:line:column: error[VL201] batch-size-branch: message`."""
    label = style.severity(finding.severity, f"{finding.severity.value}[{finding.code}]")
    message = visible(" ".join(finding.message.splitlines()))
    verdict = f" ({finding.verdict})" if finding.verdict else ""
    proof = "".join(f" (fix {fix.proof})" for fix in finding.fixes[:1] if fix.proof)
    return f"{style.strong(visible(position(finding)))}: {label} {finding.name}: {message}{verdict}{proof}"


def render(result: CheckResult, context: Context) -> Iterator[str]:
    """Findings in source order, then a summary."""
    for finding in result.findings:
        yield concise_line(finding, context.style)
    yield summary_line(result, context)
