"""The ways in which Dynamo can show that a finding is true. Rules name theirs in `Meta.proof`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vllm_lint.runtime_verifier.outcomes import (
    CheckLost,
    DataDependent,
    DishonestOperator,
    EagerFailed,
    GraphBreak,
    GraphSync,
    Outcome,
    Rebound,
    ReplayFailed,
    Result,
    RuntimeAssert,
    ShapeGuard,
    Specialized,
    StateGuard,
    WrongAnswer,
)

STATIC_ONLY = "static only, because "
"""How `Meta.proof` begins for a rule that no capture can prove; the reason follows."""


def _is(kind: type, /, **wanted: Any) -> Callable[[Outcome], bool]:
    return lambda o: isinstance(o, kind) and all(getattr(o, name) == value for name, value in wanted.items())


PROOFS: dict[str, Callable[[Outcome], bool]] = {
    # Loud: vLLM does not start.
    "graph-break": _is(GraphBreak, mode="backed"),
    "data-dependent": _is(DataDependent, mode="backed"),
    "specialized": _is(Specialized, mode="backed"),
    "decorator-error": _is(EagerFailed, stage="import"),
    # Silent: vLLM starts, and at another number of tokens the replay differs from eager.
    "wrong-answer": _is(WrongAnswer),
    "check-lost": _is(CheckLost),
    "replay-failed": _is(ReplayFailed),
    "shape-guard": _is(ShapeGuard, mode="backed"),
    "graph-sync": _is(GraphSync),
    # A custom operator that was called did something else than it declares.
    "undeclared-mutation": _is(DishonestOperator, kind="undeclared-mutation"),
    "output-aliases-input": _is(DishonestOperator, kind="output-aliases-input"),
    "fake-disagrees": _is(DishonestOperator, kind="fake-disagrees"),
    "state-guard": _is(StateGuard),
    "rebound": _is(Rebound),
    # Only under dynamic_shapes_config.type=unbacked.
    "unbacked-error": _is(DataDependent, mode="unbacked"),
    "runtime-assert": _is(RuntimeAssert, mode="unbacked"),
}

TWO_RUNS = frozenset({"stale-artifact"})
"""What no single capture shows: under another setting the graph is another, while vLLM's key is the same."""


def declared(proof: str) -> frozenset[str]:
    """The proofs that `Meta.proof` names, separated by commas; none for a rule that is static only.

    Raises:
        ValueError: a name is neither in `PROOFS` nor in `TWO_RUNS`.
    """
    if proof.startswith(STATIC_ONLY):
        return frozenset()
    names = frozenset(name.strip() for name in proof.split(","))
    if unknown := names - PROOFS.keys() - TWO_RUNS:
        raise ValueError(f"unknown proof {', '.join(sorted(unknown))}; there are {', '.join((*PROOFS, *TWO_RUNS))}")
    return names


def shown(result: Result) -> frozenset[str]:
    """The proofs that `result` holds."""
    return frozenset(name for name, proves in PROOFS.items() if any(map(proves, result.outcomes)))
