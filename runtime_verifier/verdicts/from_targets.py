"""Turns what replays and the stricter passes showed into findings, beside those that the traces show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard, Union

import msgspec

from vllm_lint.analyzer.findings import Finding, Promise
from vllm_lint.runtime_verifier.outcomes import (
    CheckLost,
    DishonestOperator,
    GraphSync,
    Part,
    Place,
    Rebound,
    ReplayFailed,
    ShapeGuard,
    StateGuard,
    WrongAnswer,
)
from vllm_lint.runtime_verifier.trace.evidence import Compilation
from vllm_lint.runtime_verifier.verdicts import from_traces as verdicts
from vllm_lint.runtime_verifier.verdicts.from_traces import (
    FAKE_DISAGREES,
    HOST_SYNC,
    OUTPUT_ALIASES_INPUT,
    UNDECLARED_MUTATION,
    ZERO_ONE,
    RuleFacts,
    Shown,
    Sources,
)
from vllm_lint.runtime_verifier.verdicts.target_evidence import PartEvidence

Difference = Union[WrongAnswer, CheckLost, ReplayFailed]
_NAMED_SIZES = 4
#: The rule about a change that dropped guards hide, by what it belongs to.
_STATE = {"context": "VL603", "environment": "VL601", "attribute": "VL602", "variable": "VL604"}
LAZY, REBOUND = "VL605", "VL403"


def find(evidence: Iterable[PartEvidence], rules: Mapping[str, RuleFacts], sources: Sources) -> tuple[Finding, ...]:
    """Findings of all parts; what several of them show is told once."""
    return verdicts.merge(finding for each in evidence for finding in _findings(each, rules, sources))


def _findings(evidence: PartEvidence, rules: Mapping[str, RuleFacts], sources: Sources) -> Iterator[Finding]:
    captures = [(evidence.name, compilation) for compilation in (*evidence.compilations, *evidence.broken)]
    for finding in verdicts.find(captures, rules, sources):
        guards = list(_guards_at(finding, evidence.part, sources))
        if guards and all(_is_harmless(guard, evidence.part) for guard in guards):
            continue
        told = [text for guard in guards for text in _told(guard, evidence.part)]
        lines = (f"{evidence.name}: {text}" for text in told)
        yield msgspec.structs.replace(finding, evidence=(*finding.evidence, *dict.fromkeys(lines)))
    compilation = next(iter(evidence.compilations), None) or Compilation("", root=evidence.part.place)
    compilation.keeps_guards = False
    for shown in _shown(evidence.part):
        yield verdicts.finding_of(shown, compilation, evidence.name, rules, sources)


def _guards_at(finding: Finding, part: Part, sources: Sources) -> Iterator[ShapeGuard]:
    for guard in _backed(part):
        if guard.stack:
            span = sources.locate(guard.stack[-1])
            if (span.path, span.line) == (finding.path, finding.line):
                yield guard


def _backed(part: Part) -> Iterator[ShapeGuard]:
    """The guards of the pass that marks dims as vLLM does by default."""
    return (o for o in part.outcomes if isinstance(o, ShapeGuard) and o.mode == "backed")


def differences(part: Part) -> Iterator[Difference]:
    """How replays with guards dropped differed from eager."""
    return (o for o in part.outcomes if isinstance(o, (WrongAnswer, CheckLost, ReplayFailed)))


def _broken(guard: ShapeGuard, part: Part) -> list[int]:
    """The replayed sizes at which the guard is false."""
    return [n for n in part.replayed if {n, *part.dims.get(n, ())} & {*guard.fails_at}]


def _is_harmless(guard: ShapeGuard, part: Part) -> bool:
    """Whether an operation asked, and where the guard is false the replays agreed with eager in every shape.

    Then the answer chose a layout or a kernel. Agreement of the results alone proves little: `x[:64]` of fewer rows is
    right in Dynamo's graph and reads beyond the end in Inductor's, which believes the shape that the graph notes. Where
    eager raises from some size on, as at the end of a table, the bound is the model's own.
    """
    if not guard.by_operation:
        return False
    others = [g for g in _backed(part) if not g.by_operation]
    broken = _broken(guard, part)
    # Where Python decided otherwise, too, nobody can tell what the operation did.
    broken = [n for n in broken if not any(n in _broken(other, part) for other in others)] or broken
    lost = {n for difference in differences(part) for n in difference.sizes}
    if not broken or lost & {*broken}:
        return False
    telling = {*broken} - {*part.refused}
    if telling:
        return not telling & {*part.misshapen}
    refused = {size for n in broken for size in (n, *part.dims.get(n, ()))}
    return guard.bound in refused or {*guard.fails_at} <= refused


def _told(guard: ShapeGuard, part: Part) -> Iterator[str]:
    """What the replays did where the guard is false."""
    broken = _broken(guard, part)
    agreed = [n for n in broken if not any(n in d.sizes for d in differences(part))]
    for difference in differences(part):
        if sizes := [n for n in difference.sizes if n in broken]:
            yield said(difference, sizes)
    if agreed:
        yield f"replay with guards dropped gave eager's answer at {_named(agreed)}"


def said(difference: Difference, sizes: Sequence[int]) -> str:
    """`wrong at 128, 256: max difference 4.5 of 9.1`."""
    where = f"{_named(sizes)}" + (f" under {difference.backend}" if difference.backend != "eager" else "")
    if isinstance(difference, CheckLost):
        return f"replay with guards dropped returned at {where}, where eager raises {difference.message}"
    if _is_refused_graph(difference):
        return f"capture into a CUDA graph failed at {_named(sizes)}: {difference.message.partition(': ')[2]}"
    if isinstance(difference, ReplayFailed):
        return f"replay with guards dropped failed at {where}: {difference.message}"
    amount = difference.max_difference
    if amount is None:
        return f"replay with guards dropped was wrong at {where}: {difference.detail}"
    scale = "" if difference.scale is None else f" of {difference.scale:.2g}"
    return f"replay with guards dropped was wrong at {where}: max difference {amount:.2g}{scale}"


def _named(sizes: Sequence[int]) -> str:
    shown = ", ".join(map(str, sizes[:_NAMED_SIZES]))
    return f"{shown} and {len(sizes) - _NAMED_SIZES} more sizes" if len(sizes) > _NAMED_SIZES else shown


def _shown(part: Part) -> Iterator[Shown]:
    refused = "".join(f"; {said(o, o.sizes)}" for o in differences(part) if _is_refused_graph(o))
    for outcome in part.outcomes:
        # What a CUDA graph could record has lost its syncs to the compiler.
        if isinstance(outcome, GraphSync) and not part.graphed:
            yield Shown(
                HOST_SYNC,
                _stack(outcome.place, part),
                f"`{outcome.operator}` makes the GPU wait for the host, and was captured into the graph",
                f"the graph calls `{outcome.operator}`{refused}",
                "keep the value on the device, or take it out of the compiled forward",
                promise=Promise.REPLAYABLE,
            )
        elif isinstance(outcome, Rebound):
            yield Shown(
                REBOUND,
                _stack(outcome.place, part),
                f"`{outcome.attribute}` is bound to another tensor in every step",
                "a CUDA graph goes on with the address that it was captured with",
                "write into the tensor with `copy_`, or return it",
                promise=Promise.REPLAYABLE,
            )
        elif isinstance(outcome, DishonestOperator):
            yield _dishonest(outcome, part)
    states = [o for o in part.outcomes if isinstance(o, StateGuard)]
    for state in states:
        yield Shown(
            _rule_about(state),
            _stack(state.place, part),
            f"`{state.source}` changes from step to step, and the capture took it as a constant",
            f"`{state.expression}` during the capture, and the guard on it was dropped",
            "compute it as a tensor, or read it inside a custom operator",
            promise=Promise.NO_STEP_STATE,
        )
    yield from _unexplained(part, states)


#: Code of the rule, what the operator does, and the cure, by what was seen.
_DISHONEST = {
    "undeclared-mutation": (
        UNDECLARED_MUTATION,
        "writes to an argument that its schema does not name as mutated",
        "name the argument in `mutates_args`, or write to a copy",
    ),
    "output-aliases-input": (
        OUTPUT_ALIASES_INPUT,
        "returns memory of an argument, which its schema does not say",
        "return a copy",
    ),
    "fake-disagrees": (
        FAKE_DISAGREES,
        "returns something else than its fake implementation says",
        "have the fake implementation return what the kernel does",
    ),
}


def _dishonest(outcome: DishonestOperator, part: Part) -> Shown:
    code, what, cure = _DISHONEST[outcome.kind]
    return Shown(
        code,
        _stack(outcome.place, part),
        f"`{outcome.operator}` {what}",
        f"calling `{outcome.operator}` showed {outcome.kind}: {outcome.detail}",
        cure,
        promise=Promise.HONEST_OPERATORS,
    )


def _unexplained(part: Part, states: Sequence[StateGuard]) -> Iterator[Shown]:
    """Differences at sizes that break no guard."""
    guards = [o for o in part.outcomes if isinstance(o, ShapeGuard)]
    decided = [g for g in guards if g.mode == "oblivious"]
    broken = {n for guard in guards if guard.mode == "backed" for n in _broken(guard, part)}
    if states:  # they explain a difference at any size
        return
    has_sync = any(isinstance(o, GraphSync) for o in part.outcomes)
    for difference in differences(part):
        if has_sync and _is_refused_graph(difference):
            continue
        if 1 in difference.sizes:
            yield from (_zero_one(guard, difference, is_certain=1 not in broken) for guard in decided)
        sizes = [n for n in difference.sizes if n not in broken and not (decided and n == 1)]
        if not sizes:
            continue
        yield Shown(
            "replay-differs",
            _stack(None, part),
            "the captured graph does not compute what this forward does",
            said(difference, sizes),
            "look for state that a step changes, sizes that were baked in, and operators that write to their inputs",
            promise=Promise.NO_STEP_STATE if len(sizes) == len(part.replayed) else Promise.ALL_SIZES,
        )


def _rule_about(state: StateGuard) -> str:
    """Its rule; what was None during the capture and is something now is made by the first step."""
    is_made = state.holder in ("attribute", "variable") and state.expression == f"{state.source} is None"
    return LAZY if is_made else _STATE[state.holder]


def _zero_one(guard: ShapeGuard, difference: Difference, *, is_certain: bool) -> Shown:
    return Shown(
        ZERO_ONE,
        guard.stack,
        f"`{guard.expression}` was decided once, during capture",
        said(difference, [1]) if is_certain else f"{said(difference, [1])}, where other decisions differ too",
        "it is false for size 1; compute what is right for all, or decide in a custom operator",
        "confirmed" if is_certain else "undecided",
    )


def _is_refused_graph(difference: Difference) -> TypeGuard[ReplayFailed]:
    """Whether CUDA could not record the forward; the name is that of `cuda_graphs.NotCaptured`."""
    return isinstance(difference, ReplayFailed) and difference.message.startswith("NotCaptured: ")


def _stack(place: Place | None, part: Part) -> tuple[Place, ...]:
    place = place or part.place
    return (place,) if place else ()
