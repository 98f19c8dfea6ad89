"""What the rules about CUDA graphs say about small models."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.samples import codes, found
from vllm_lint.analyzer.findings import Confidence, Severity


def test_a_float_may_stay_on_the_device_and_an_unknown_number_may_be_one(tmp_path: Path) -> None:
    body = "a = x.float().mean().item()\nb = x.max().item()\nc = x.argmax().item()\nreturn x * a * b * c"
    judged = [(f.line, f.severity, f.confidence) for f in found(tmp_path, body)]
    assert judged == [
        (10, Severity.WARNING, Confidence.LOW),
        (11, Severity.ERROR, Confidence.MEDIUM),
        (12, Severity.ERROR, Confidence.HIGH),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "if x.max().item() > 1:\n    x = x + 1\nreturn x",
        "count = int(x.argmax())\nif count:\n    x = x + 1\nreturn x",
        "for row in x.nonzero():\n    x = x + row.sum()\nreturn x",
        "for i in range(int(x.argmax())):\n    x = x + i\nreturn x",
    ],
)
def test_what_decides_is_told_once(tmp_path: Path, body: str) -> None:
    assert codes(found(tmp_path, body)) == ["VL102"]


def test_a_number_that_an_assertion_asks_for_is_read_in_every_step(tmp_path: Path) -> None:
    assert codes(found(tmp_path, "assert x.argmax().item() >= 0\nreturn x")) == ["VL401"]


@pytest.mark.parametrize(
    "expression",
    [
        "torch.arange(4).sum().item()",
        "torch.zeros(4, device='cpu').tolist()[0]",
        "torch.tensor([1, 2], device=torch.device('cpu')).max().item()",
        "TABLE.sum().item()",
        "self.limits[0].item()",
    ],
)
def test_tensors_that_are_on_the_host_are_read_freely(tmp_path: Path, expression: str) -> None:
    before = "TABLE = torch.tensor([1.0, 2.0])"
    constructor = "x: torch.Tensor):\n        return self.run(x)\n    limits = torch.ones(3)\n    def run(self, x"
    assert not found(tmp_path, f"return x * {expression}", constructor, before=before)


def test_what_comes_to_the_host_is_told_where_it_comes(tmp_path: Path) -> None:
    assert [f.line for f in found(tmp_path, "h = x.cpu()\na = h.max().item()\nreturn x * a")] == [10]


def test_a_buffer_is_on_the_device_wherever_it_was_made(tmp_path: Path) -> None:
    arguments = (
        "x: torch.Tensor):\n        return x * self.scale.argmax().item()\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.register_buffer('scale', torch.ones(8, device='cpu'))\n    def other(self"
    )
    assert codes(found(tmp_path, "pass", arguments)) == ["VL401"]


def test_a_mask_that_became_numbers_is_no_mask(tmp_path: Path) -> None:
    body = "mask = x[:, 0] > 0\na = x[mask.long()]\nb = x[mask.to(torch.int64)]\nreturn a + b + x[mask].sum()"
    assert [(f.line, f.code) for f in found(tmp_path, body)] == [(13, "VL401")]


def test_other_contracts_have_no_cuda_graph(tmp_path: Path) -> None:
    body = "return x * x.argmax().item()"
    assert not found(tmp_path, body, decorator="@torch.compile(fullgraph=True)")
