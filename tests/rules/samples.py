"""Small models for tests of what the rules say about them."""

from __future__ import annotations

import textwrap
from pathlib import Path

from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Finding
from vllm_lint.rules.catalogue import RULES

HEAD = """\
import copy
import logging
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile
logger = logging.getLogger(__name__)
"""
VLLM = "@support_torch_compile"


def found(
    tmp_path: Path,
    body: str,
    arguments: str = "x: torch.Tensor",
    decorator: str = VLLM,
    before: str = "",
    bases: str = "nn.Module",
) -> list[Finding]:
    """Findings in a class whose forward has `body`, behind the definitions in `before`."""
    inner = textwrap.indent(textwrap.dedent(body), " " * 8)
    head = HEAD + textwrap.dedent(before)
    if decorator == VLLM or decorator.startswith("@support"):
        source = f"{head}{decorator}\nclass M({bases}):\n    def forward(self, {arguments}):\n{inner}\n"
    else:
        source = f"{head}class M({bases}):\n    {decorator}\n    def forward(self, {arguments}):\n{inner}\n"
    (tmp_path / "model.py").write_text(source, encoding="utf-8")
    settings = Settings(paths=(tmp_path / "model.py",), base=tmp_path, search_installed=False, jobs=1)
    result = check(settings, RULES)
    assert not result.errors
    return list(result.findings)


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]
