"""Results made by hand, so that a format is tested apart from the analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vllm_lint.analyzer.engine import CheckResult, FileReport
from vllm_lint.analyzer.facts import RootReport
from vllm_lint.analyzer.findings import (
    Confidence,
    Contract,
    Edit,
    Finding,
    Fix,
    Promise,
    Root,
    Severity,
    Span,
    Step,
    ToolError,
)
from vllm_lint.cli.console import Style
from vllm_lint.cli.output import Context
from vllm_lint.cli.source import SourceReader
from vllm_lint.rules.catalogue import RULES

MODEL = """\
import torch
from vllm.compilation.decorators import support_torch_compile

from helpers import is_large


@support_torch_compile
class ToyModel(torch.nn.Module):
    def forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        hidden = self.embed(input_ids)
        num_tokens = hidden.shape[0]
        if num_tokens // 128 > 1:
            return self.large(hidden)
        if is_large(hidden):
            hidden = torch.where(
                hidden.sum(0) > 0,
                hidden.view(
                    num_tokens, 128
                ),
                hidden,
            )
\tname = '日本語', 'naïve', positions.item()
        return hidden
"""

HELPERS = """\
def is_large(x):
    return size_of(x) > 64


def size_of(x):
    return x.shape[0]
"""

ROOT = Root("ToyModel.forward", "model.py", 9, Contract.VLLM)


def finding(**changes: Any) -> Finding:
    """A finding in `MODEL` with `changes`."""
    fields: dict[str, Any] = {
        "code": "VL201",
        "name": "batch-size-branch",
        "severity": Severity.ERROR,
        "confidence": Confidence.HIGH,
        "promise": Promise.ALL_SIZES,
        "path": "model.py",
        "line": 12,
        "column": 12,
        "end_line": 12,
        "end_column": 33,
        "message": "`if` on `num_tokens // 128 > 1`: the branch of the traced size is kept for every size",
        "help": "move the decision into a custom operator, or make both branches one computation",
        "root": ROOT,
        "steps": (
            Step(Span("model.py", 9, 23, 9, 32), "dim 0 of `input_ids` is the number of tokens"),
            Step(Span("model.py", 11, 22, 11, 37), "`num_tokens` is the number of tokens"),
            Step(Span("model.py", 12, 12, 12, 33), "decided here, once for all sizes"),
        ),
    }
    return Finding(**(fields | changes))


def across_files() -> Finding:
    """A finding whose path goes through another file and back up in it."""
    return finding(
        line=14,
        end_line=14,
        column=12,
        end_column=28,
        message="`if` on `is_large(hidden)`: the branch of the traced size is kept for every size",
        confidence=Confidence.MEDIUM,
        steps=(
            Step(Span("model.py", 9, 23, 9, 32), "dim 0 of `input_ids` is the number of tokens"),
            Step(Span("model.py", 14, 21, 14, 27), "passed as `x`"),
            Step(Span("helpers.py", 2, 20, 2, 21), "passed as `x`"),
            Step(Span("helpers.py", 6, 12, 6, 22), "returned"),
            Step(Span("helpers.py", 2, 12, 2, 27), "compared with a constant"),
            Step(Span("model.py", 14, 12, 14, 28), "decided here, once for all sizes"),
        ),
    )


def multiline() -> Finding:
    """A finding over several lines that starts in the middle of one."""
    return finding(
        code="VL204",
        name="batch-size-divisibility",
        severity=Severity.WARNING,
        line=15,
        column=22,
        end_line=21,
        end_column=14,
        message="`view` needs a divisible number of tokens",
        steps=(),
        help="",
    )


def wide_characters() -> Finding:
    """A finding behind a tab and wide characters, with a fix."""
    edit = Edit(Span("model.py", 22, 33, 22, 46), "positions")
    return finding(
        code="VL102",
        name="data-dependent-branch",
        promise=Promise.CAPTURE,
        line=22,
        column=25,
        end_line=22,
        end_column=41,
        message="`positions.item()` reads a value",
        steps=(),
        fixes=(Fix("drop `.item()`", "unsafe", (edit,)),),
    )


def unreadable() -> Finding:
    """A finding about a file that is not there."""
    return finding(
        code="VL001",
        name="unreadable-file",
        promise=Promise.TOOL,
        path="gone.py",
        line=1,
        column=1,
        end_line=1,
        end_column=1,
        message="permission denied",
        root=None,
        steps=(),
        help="",
    )


def result(*findings: Finding, errors: tuple[ToolError, ...] = (), suppressed: int = 0, files: int = 2) -> CheckResult:
    """A result of a run over some files and one root."""
    reports = (FileReport("model.py", "root", ""), FileReport("helpers.py", "reached", "called from model.py"))
    root = RootReport(ROOT, {"input_ids": "dim 0", "positions": "dim 0"}, 3, ("self.embed at model.py:10",))
    return CheckResult(findings, errors, reports[:files], (root,) if files else (), suppressed)


def everything() -> CheckResult:
    """One of each."""
    error = ToolError("crashed: KeyError: 'x'", path="model.py", rule="VL205", kind="rule")
    findings = (unreadable(), finding(), across_files(), multiline(), wide_characters())
    return result(*findings, errors=(error,), suppressed=2)


def write_sources(folder: Path) -> Path:
    """Put `MODEL` and `HELPERS` into `folder`."""
    (folder / "model.py").write_text(MODEL, encoding="utf-8")
    (folder / "helpers.py").write_text(HELPERS, encoding="utf-8")
    return folder


def context(base: Path, *, color: bool = False, width: int | None = None) -> Context:
    """What a renderer gets for sources in `base`."""
    return Context(RULES, SourceReader(base), Style(enabled=color), base, width)
