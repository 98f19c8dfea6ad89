"""What a user's harness returns is taken, or the message says what is wrong with it."""

from __future__ import annotations

import pytest

from tests.verify.conftest import Verify
from vllm_lint.runtime_verifier.outcomes import EagerFailed, ShapeGuard, WrongAnswer

pytestmark = pytest.mark.torch

MODEL = """
class Model(nn.Module):
    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, x, positions=None, *, scale=1.0):
        return x * 2 if x.shape[{dim}] > self.limit else x * scale

def M():
    return {returned}
"""


@pytest.mark.parametrize(
    ("returned", "dim"),
    [
        ("Model(64), {'x': torch.randn(7, 8)}", 0),
        ("Model(64), (torch.randn(7, 8), torch.arange(7))", 0),
        ("Model(64), torch.randn(7, 8)", 0),
        ("Model(64), {'x': torch.randn(3, 7), 'positions': torch.arange(7)}, {'x': 1, 'positions': [0]}", 1),
        ("Model(64), lambda n: {'x': torch.randn(n, 8), 'scale': 3.0}", 0),
        ("Model(64), lambda n: (torch.randn(1, n),)", 1),
        ("Model(64), lambda n: (torch.randn(1, n),), {'x': {1: 'b'}}", 1),
    ],
)
def test_every_form_of_inputs(verify: Verify, returned: str, dim: int) -> None:
    result = verify(MODEL.format(returned=returned, dim=dim), provider="harness")
    assert [o.expression for o in result.outcomes if isinstance(o, ShapeGuard)] == [f"x.size({dim}) > 64"]
    assert [o.sizes for o in result.outcomes if isinstance(o, WrongAnswer)] == [(1, 2, 3, 7)]


def test_a_function_may_be_the_module(verify: Verify) -> None:
    result = verify(
        "def f(x): return x * 2 if x.shape[0] > 64 else x\ndef M(): return f, (torch.randn(5),)", provider="harness"
    )
    assert any(isinstance(o, WrongAnswer) for o in result.outcomes)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "M() returned nothing, not (module, inputs) or (module, inputs, dims)"),
        ("Model(1)", "M() returned a Model, not (module, inputs)"),
        ("Model(1),", "M() returned a tuple of 1 (Model), not (module, inputs)"),
        ("3, {}", "M() returned an int as the module, not a torch.nn.Module or a function"),
        ("Model(1), 3", "M() returned an int as inputs, not a dict or tuple of arguments or a function"),
        (
            "Model(1), {'y': torch.ones(3)}",
            "the inputs that M() returned do not fit forward(x, positions=None, *, scale=1.0): ",
        ),
        ("Model(1), (1, 2, 3)", "do not fit forward(x, positions=None, *, scale=1.0): too many positional arguments"),
        ("Model(1), {'x': 3}", "no input of M() has a size that is the number of tokens: return dims as third"),
        ("Model(1), lambda n: {'x': torch.ones(4)}", "no input of M() has a size that is the number of tokens"),
        ("Model(1), lambda n: 3", "the inputs of M() at 96 tokens returned an int as inputs"),
        ("Model(1), lambda n: 1 / 0", "the inputs of M()(96) raises ZeroDivisionError"),
        ("Model(1), {'x': torch.ones(4)}, 0", "M() returned an int as dims, not a dict such as"),
        ("Model(1), {'x': torch.ones(4)}, {'x': 'b'}", "M() returned 'b' as the dims of x, not a number or a list"),
        ("Model(1), {'x': torch.ones(4)}, {'z': 0}", "M() returned dims for z, which is not among the inputs x"),
        ("Model(1), {'x': torch.ones(4)}, {'x': 1}", "M() returned dim 1 for x, which has 1 dims"),
        ("Model(1), {'x': 1.0, 'positions': torch.ones(2)}, {'x': 0}", "M() returned dims for x, which is a float and"),
        (
            "Model(1), {'x': torch.ones(4, 2)}, {'x': [0, 1]}",
            "the dynamic sizes that M() gives differ (x.size(0) is 4, x.size(1) is 2): return a function of n",
        ),
        ("nothing", "M() raises NameError: name 'nothing' is not defined"),
    ],
)
def test_what_is_wrong_is_said(verify: Verify, returned: str, message: str) -> None:
    (outcome,) = verify(MODEL.format(returned=returned, dim=0), provider="harness").outcomes
    assert isinstance(outcome, EagerFailed)
    assert message in outcome.message


def test_a_harness_is_a_function(verify: Verify) -> None:
    (outcome,) = verify("M = 3", provider="harness").outcomes
    assert isinstance(outcome, EagerFailed)
    assert outcome.message == "M is an int, not a function that returns (module, inputs) or (module, inputs, dims)"


def test_inputs_that_are_written_to_are_fresh_every_time(verify: Verify) -> None:
    source = "KEPT = torch.zeros(96)\ndef f(x): return x.add_(1)\ndef M(): return f, {'x': KEPT}"
    assert verify(source, provider="harness").outcomes == ()
