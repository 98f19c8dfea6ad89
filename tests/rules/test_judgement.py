"""How severe and how certain findings are, and what the same code means under other contracts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.samples import HEAD, VLLM, codes, found
from vllm_lint.analyzer.findings import Confidence, Severity


@pytest.mark.parametrize(
    ("decorator", "severity"),
    [
        (VLLM, Severity.ERROR),
        ("@torch.compile(fullgraph=True)", Severity.ERROR),
        ("@torch.compile", Severity.WARNING),
    ],
)
def test_a_graph_break_costs_speed_where_no_full_graph_is_promised(
    tmp_path: Path, decorator: str, severity: Severity
) -> None:
    (finding,) = found(tmp_path, "return x * 2 if x.any() else x", decorator=decorator)
    assert (finding.code, finding.severity) == ("VL101", severity)


@pytest.mark.parametrize("decorator", ["@torch.compile", "@torch.compile(fullgraph=True)"])
def test_guards_on_sizes_are_allowed_where_they_are_kept(tmp_path: Path, decorator: str) -> None:
    assert not found(tmp_path, "return x * 2 if x.shape[0] > 64 else x", decorator=decorator)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("x.shape[0] > 64", "VL201"),
        ("x.shape[0] % 128 == 0", "VL201"),
        ("x.shape[0] == 1", "VL203"),
        ("x.shape[0] > 1", "VL203"),
        ("x.shape[0] / 4 > 2.5", "VL201"),
        ("2.5 < x.shape[0] / 4", "VL201"),
    ],
)
def test_one_token_is_a_case_of_its_own(tmp_path: Path, condition: str, code: str) -> None:
    assert codes(found(tmp_path, f"return x * 2 if {condition} else x")) == [code]


@pytest.mark.parametrize("condition", ["x.shape[0] > 0", "x.shape[0] >= 1", "x.shape[0] == 0", "x.shape[0] / 4 > -0.5"])
def test_conditions_with_one_answer_for_every_batch(tmp_path: Path, condition: str) -> None:
    assert not found(tmp_path, f"return x * 2 if {condition} else x")


@pytest.mark.parametrize(
    "body",
    [
        "assert x.shape[0] <= 512\nreturn x",
        "if x.shape[0] > 512:\n    raise ValueError('too many')\nreturn x",
        "assert x.shape[0] != 1\nreturn x",
    ],
)
def test_a_lost_check_is_a_warning(tmp_path: Path, body: str) -> None:
    (finding,) = found(tmp_path, body)
    assert finding.severity is Severity.WARNING
    assert finding.message.startswith("check `")


@pytest.mark.parametrize("settled", ["x.shape[0] > 64 and 1 != 1", "x.shape[0] > 64 or 1 == 1"])
def test_a_size_that_cannot_matter_is_not_reported(tmp_path: Path, settled: str) -> None:
    assert not found(tmp_path, f"return x * 2 if {settled} else x")


def test_each_operand_of_a_condition_is_a_decision(tmp_path: Path) -> None:
    findings = found(tmp_path, "return x * 2 if x.shape[0] < 16 or x.shape[0] > 512 else x")
    assert codes(findings) == ["VL201", "VL201"]
    assert len({finding.column for finding in findings}) == 2


@pytest.mark.parametrize(
    ("statement", "breaks"),
    [
        ("assert x.isfinite().all()", False),
        ("assert x.isfinite().all(), 'not finite'", False),
        ("assert x.ndim == 2 and x.isfinite().all()", False),
        ("assert not x.isnan().any()", True),
        ("assert x.isfinite().all() and x.sum() > 0", True),
        ("assert x.isfinite().all(), f'{x}'", True),
    ],
)
def test_assertions_that_become_part_of_the_graph(tmp_path: Path, statement: str, breaks: bool) -> None:
    assert codes(found(tmp_path, f"{statement}\nreturn x * 2")) == ["VL101"] * breaks


@pytest.mark.parametrize("condition", ["self.verbose", "x.shape[0] > 100"])
def test_a_call_that_may_not_be_reached_is_less_certain(tmp_path: Path, condition: str) -> None:
    findings = found(tmp_path, f"if {condition}:\n    logger.info('forward')\nreturn x")
    (finding,) = [finding for finding in findings if finding.code == "VL104"]
    assert (finding.confidence, finding.severity) == (Confidence.MEDIUM, Severity.WARNING)
    assert finding.message.endswith("a condition decides whether it is reached")
    (certain,) = found(tmp_path, "logger.info('forward')\nreturn x")
    assert (certain.confidence, certain.severity) == (Confidence.HIGH, Severity.ERROR)


@pytest.mark.parametrize(
    ("expression", "breaks"),
    [
        ("copy.copy({'a': 1})", True),
        ("copy.copy([1])", True),
        ("copy.copy((1, 2))", False),
        ("copy.deepcopy({'a': 1})", False),
        ("copy.deepcopy(x)", True),
    ],
)
def test_copies_as_measured(tmp_path: Path, expression: str, breaks: bool) -> None:
    assert codes(found(tmp_path, f"y = {expression}\nreturn x, y")) == ["VL105"] * breaks


TWO = "x: torch.Tensor, positions: torch.Tensor"


@pytest.mark.parametrize(
    ("body", "needs_equality"),
    [
        ("return x + positions", False),
        ("return x.view(positions.shape[0], -1)", False),
        ("a, b = x.chunk(2, dim=-1)\nreturn a.view(positions.shape[0], -1, 4)", True),
        ("a, b = x.chunk(2, dim=-1)\nreturn a.contiguous().view(positions.shape[0], -1, 4)", False),
        ("a, b = x.chunk(2, dim=-1)\nreturn a.view(x.shape[0], -1, 4)", False),
        ("assert x.shape[0] == positions.shape[0]\nreturn x", False),
        ("if x.shape[0] != positions.shape[0]:\n    raise ValueError('lengths')\nreturn x", True),
    ],
)
def test_code_that_unbacked_sizes_do_not_survive(tmp_path: Path, body: str, needs_equality: bool) -> None:
    assert codes(found(tmp_path, body, TWO)) == ["VL206"] * needs_equality


def test_a_missing_shape_id_is_reported_once_at_the_decorator(tmp_path: Path) -> None:
    body = """
        a, b = x.chunk(2, dim=-1)
        n = positions.shape[0]
        return a.view(n, -1, 4) + b.view(n, -1, 4)
    """
    (finding,) = found(tmp_path, body, TWO)
    assert finding.line == HEAD.count("\n") + 1
    assert "`a.view(n, -1, 4)`" in finding.steps[-1].message
    ids = '@support_torch_compile(dynamic_arg_dims={"x": {0: "n"}, "positions": {0: "n"}})'
    assert not found(tmp_path, body, TWO, ids)


@pytest.mark.parametrize(
    ("decorator", "argument", "confidence"),
    [
        (VLLM, "y: torch.LongTensor", Confidence.HIGH),
        (VLLM, "y: 'torch.Tensor'", Confidence.HIGH),
        (VLLM, "y: list[torch.Tensor]", Confidence.MEDIUM),
        (VLLM, "y", Confidence.MEDIUM),
        ('@support_torch_compile(dynamic_arg_dims={"x": 0})', "y: torch.Tensor", Confidence.MEDIUM),
        (VLLM, "y: int", None),
        (VLLM, "y: int | torch.Tensor", None),
        (VLLM, "y: torch.Tensor | None", None),
        ("@support_torch_compile(dynamic_arg_dims=DIMS)", "y: torch.LongTensor", None),
        ("@support_torch_compile(**OPTIONS)", "y: torch.LongTensor", None),
    ],
)
def test_arguments_that_are_not_marked(
    tmp_path: Path, decorator: str, argument: str, confidence: Confidence | None
) -> None:
    findings = found(tmp_path, "return x * 2, y.to(x.dtype)", f"x: torch.Tensor, {argument}", decorator)
    assert [finding.confidence for finding in findings if finding.code == "VL205"] == [confidence] * bool(confidence)


CALLS = """
import time
def stamp(x):
    return x * time.time()
def twice(x):
    return stamp(stamp(x))
"""


@pytest.mark.parametrize(
    ("body", "severity"),
    [
        ("return stamp(x)", Severity.ERROR),
        ("if self.traced:\n    x = stamp(x)\nreturn x", Severity.WARNING),
        ("if self.traced:\n    x = twice(x)\nreturn x", Severity.WARNING),
        ("return twice(x) if self.traced else x", Severity.WARNING),
        ("if self.traced:\n    x = stamp(x)\nreturn stamp(x)", Severity.ERROR),
        ("x = stamp(x)\nif self.traced:\n    x = stamp(x)\nreturn x", Severity.ERROR),
        ("if self.traced:\n    x = twice(x)\nreturn twice(x)", Severity.ERROR),
        ("if self.traced:\n    x = twice(x)\nreturn stamp(x)", Severity.ERROR),
    ],
)
def test_what_is_called_under_a_condition_is_as_conditional_as_the_call(
    tmp_path: Path, body: str, severity: Severity
) -> None:
    (finding,) = found(tmp_path, body, before=CALLS)
    certain = severity is Severity.ERROR
    assert (finding.code, finding.severity) == ("VL105", severity)
    assert finding.confidence is (Confidence.HIGH if certain else Confidence.MEDIUM)
    assert ("a condition decides" in finding.message) is not certain
