"""Finds what Python decided by whether there is one token, for which torch has no guard. Worker processes only.

Dynamo takes a dynamic size to be neither 0 nor 1, so that `n == 1` is false without asking. A batch of one token runs
the same graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import sympy
import torch
from torch._dynamo.variables.tensor import SymNodeVariable

from vllm_lint.runtime_verifier.outcomes import Place
from vllm_lint.runtime_verifier.worker.evidence import places_of

#: Where a decision must agree with the captured batch if one token alone makes the difference.
_OTHERS = (2, 3, 4, 5, 7, 8, 16, 64, 100, 128, 255, 256, 1000, 4096)

Decisions = dict[tuple[str, tuple[Place, ...]], None]
"""Conditions that held, in torch's symbols, with their call path; a dict keeps the order."""


@contextmanager
def of_one_token(tokens: int) -> Iterator[Decisions]:
    """Collect the decisions of a capture with `tokens` tokens that are other for one token and for no other number."""
    found: Decisions = {}
    original = SymNodeVariable.evaluate_expr

    def evaluate(self: Any, *args: Any, **kwargs: Any) -> Any:
        expression = getattr(self.sym_num.node, "expr", None)
        if isinstance(expression, sympy.logic.boolalg.Boolean):
            held = expression.xreplace(dict.fromkeys(expression.free_symbols, sympy.Integer(tokens)))
            if held in (sympy.true, sympy.false) and _differs_at_one(expression, held, self.sym_num.node.shape_env):
                condition = expression if held is sympy.true else sympy.Not(expression)
                found[str(condition), places_of(torch._guards.TracingContext.extract_stack())] = None
        return original(self, *args, **kwargs)

    with patch.object(SymNodeVariable, "evaluate_expr", evaluate):
        yield found


def _differs_at_one(expression: Any, held: Any, shape_env: Any) -> bool:
    symbols = expression.free_symbols
    if not symbols or any(shape_env.is_unbacked_symint(symbol) for symbol in symbols):
        return False

    def answer(n: int) -> Any:
        try:
            return expression.xreplace(dict.fromkeys(symbols, sympy.Integer(n)))
        except ZeroDivisionError:  # n % (n // 4) at 1
            return None

    return answer(1) is not held and all(answer(n) is held for n in _OTHERS)
