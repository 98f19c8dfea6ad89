"""What the interpreter says of operators is what torch does, over drawn arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.knowledge.drawing import Draw
from tests.knowledge.expression_cases import EXPRESSIONS
from tests.knowledge.observing import Verdict, drawn, judged, written
from tests.knowledge.operator_cases import AS_METHODS, FUNCTIONS, METHODS, Drawn
from vllm_lint.analyzer import torch_calls

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

COUNT = 12
#: Operators that need data, of which tensors on the device `meta` have none.
WITH_DATA = {
    *("nonzero", "argwhere", "unique", "unique_consecutive", "masked_select", "bincount", "x[mask]"),
    *(
        "item",
        "tolist",
        "numpy",
        "repeat_interleave",
        "where",
        "is_pinned",
        "equal",
        "allclose",
        "is_nonzero",
        "data_ptr",
    ),
}
#: Operators of the interpreter's tables without a case, and why.
NOT_DRAWN = {
    "cuda": "it needs a GPU",
    "pin_memory": "it needs a GPU",
    "record_stream": "it needs a GPU, and returns nothing",
    "cpu": "a tensor without data cannot go there; where tensors lie is measured on a GPU",
    "device": "it makes a device",
    "from_numpy": "it takes an array, of which only the place is known",
    "compile": "it takes a function, which is called through",
    "compiler.disable": "it takes a function, which is not called",
    "_dynamo.disable": "it takes a function, which is not called",
    "is_shared": "the call breaks the graph",
    "is_inference": "the call breaks the graph",
    "untyped_storage": "the call breaks the graph",
    "nested.nested_tensor": "the call breaks the graph",
    "nested.as_nested_tensor": "the call breaks the graph",
    "_check": "it returns nothing, and what it asks is a decision",
    "_check_is_size": "as `_check`",
    "cond": "it calls functions, which are followed as any other",
    "_higher_order_ops.associative_scan": "it calls a function, and gives what it is given",
    "_higher_order_ops.associative_scan.associative_scan": "it calls a function, and gives what it is given",
    "utils.checkpoint.checkpoint": "as `cond`",
    "__bool__": "it reads a number, as `bool()` does",
    "__int__": "it reads a number, as `int()` does",
    "__float__": "it reads a number, as `float()` does",
}
#: Operators whose values differ though they are said to be fixed, and why no decision follows from that.
NOT_COMPARED = {
    "equal": "the call itself is reported, since it needs the data",
    "allclose": "the call itself is reported, since it needs the data",
    "is_nonzero": "the call itself is reported, since it needs the data",
    "data_ptr": "an address, and Dynamo breaks the graph wherever it is used",
}
#: Operators of which more than a third of the results is not followed, and why.
VAGUE = {
    "stride": "only a stride that changes with the number of tokens is of use",
}


def check(name: str, verdict: Verdict) -> None:
    assert verdict.samples >= COUNT // 3, f"torch takes hardly any call that was drawn for {name}"
    if name not in NOT_COMPARED:
        assert not verdict.wrong, "\n".join(dict.fromkeys(verdict.wrong[:12]))
    followed = verdict.known + verdict.reported
    assert name in VAGUE or 3 * followed >= 2 * verdict.samples, f"{followed} of {verdict.samples} results are known"


@pytest.mark.parametrize("name", sorted({*METHODS, *FUNCTIONS}))
def test_an_operator_does_what_torch_does(name: str, tmp_path: Path) -> None:
    drawers = [table[name] for table in (METHODS, FUNCTIONS) if name in table]
    device = "cpu" if name in WITH_DATA else "meta"
    samples = [sample for drawer in drawers for sample in drawn(name, drawer, COUNT, device=device)]
    check(name, judged(samples, tmp_path))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_does_what_torch_does(name: str, tmp_path: Path) -> None:
    device = "cpu" if name in WITH_DATA else "meta"
    check(name, judged(written(name, EXPRESSIONS[name], 2 * COUNT, device=device), tmp_path))


def test_every_operator_that_the_interpreter_knows_is_drawn() -> None:
    known = torch_calls._METHODS.keys() | torch_calls._FUNCTIONS.keys()
    cases = METHODS.keys() | FUNCTIONS.keys()
    assert known - cases == NOT_DRAWN.keys() | (AS_METHODS - cases)
    assert cases <= known | {"linear", "pad", "one_hot"}
    assert NOT_COMPARED.keys() | VAGUE.keys() <= cases


def wrong_transpose(d: Draw) -> Drawn:
    x = d.tensor(("n", "6"))
    return x, [("dim0", "0"), ("dim1", "1")]


def test_a_wrong_shape_rule_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(torch_calls._METHODS, "transpose", torch_calls._same)
    verdict = judged(drawn("transpose", wrong_transpose, 3), tmp_path)
    assert any("dim 0: tokens is 2 for n = 2, and torch has 6" in text for text in verdict.wrong)
