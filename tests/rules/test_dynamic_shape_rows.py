"""What the rules about fixed rows and lengths that come out of data say about small models."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.samples import codes, found
from vllm_lint.analyzer.findings import Confidence, Severity

FULLGRAPH = "@torch.compile(fullgraph=True)"


@pytest.mark.parametrize(
    "expression",
    [
        "x[: self.rows]",
        "x[: min(x.shape[0], 64)]",
        "x[: max(x.shape[0] - 64, 1)]",
        "torch.cat([x, x.new_zeros(64, 8)])[:64]",
        "x[:, :64]",
        "x[..., 5]",
        "x.unsqueeze(0)[:1].squeeze(0)",
        "x[[0, 5]]",
    ],
)
def test_rows_that_every_batch_has_or_nobody_knows(tmp_path: Path, expression: str) -> None:
    assert not found(tmp_path, f"return {expression} * 2")


@pytest.mark.parametrize(
    ("expression", "rows", "severity"),
    [
        ("x[:64]", 64, Severity.ERROR),
        ("x[-3:]", 3, Severity.ERROR),
        ("(x * 2)[: x.shape[0] // 2][:2]", 2, Severity.ERROR),
        ("x[5]", 6, Severity.WARNING),
        ("x.select(0, -4)", 4, Severity.WARNING),
        ("x.split([64, x.shape[0] - 64])[0]", 64, Severity.WARNING),
    ],
)
def test_rows_that_some_batch_lacks(tmp_path: Path, expression: str, rows: int, severity: Severity) -> None:
    (finding,) = found(tmp_path, f"return {expression} * 2")
    assert (finding.code, finding.severity) == ("VL208", severity)
    assert f"takes {rows} rows for granted" in finding.message


def test_a_buffer_of_fixed_length_may_be_meant_for_few_tokens(tmp_path: Path) -> None:
    short, long = (
        found(tmp_path, f"table = torch.zeros({rows}, 8, device=x.device)\nreturn table[: x.shape[0]] + x.sum()")
        for rows in (300, 65536)
    )
    assert [(f.code, f.confidence) for f in short] == [("VL208", Confidence.MEDIUM)]
    assert not long


def test_a_length_that_is_bounded_is_captured(tmp_path: Path) -> None:
    body = "kept = x[x[:, 0] > 0]\n{}return x + kept.roll(1, 0).sum(0)"
    assert codes(found(tmp_path, body.format(""), decorator=FULLGRAPH)) == ["VL209"]
    assert not found(tmp_path, body.format("torch._check(kept.shape[0] >= 1)\n"), decorator=FULLGRAPH)


def test_what_cannot_be_captured_is_not_told_to_wait_too(tmp_path: Path) -> None:
    assert codes(found(tmp_path, "return x + x[x[:, 0] > 0].roll(1, 0).sum(0)")) == ["VL209"]


def test_inputs_with_different_shape_ids_may_differ_and_others_do_not(tmp_path: Path) -> None:
    arguments = "x: torch.Tensor, y: torch.Tensor"
    body = "if x.shape[0] < y.shape[0]:\n    return x * 2\nreturn x + y.sum()"
    apart = '@support_torch_compile(dynamic_arg_dims={"x": {0: "a"}, "y": {0: "b"}})'
    alike = '@support_torch_compile(dynamic_arg_dims={"x": {0: "a"}, "y": {0: "a"}})'
    (finding,) = found(tmp_path, body, arguments, apart)
    assert finding.code == "VL207"
    assert "lengths of `a` and `b`" in finding.message
    assert not found(tmp_path, body, arguments, alike)
