"""Compares what a custom operator declares with what its implementations do."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_lint.analyzer.events import Event, OperatorReturnsArgument, OperatorWrites
from vllm_lint.analyzer.findings import Confidence, Step
from vllm_lint.analyzer.index import ModuleInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.operator_bodies import Body, Returned, Write, walked
from vllm_lint.analyzer.registrations import Operator, collected, event_of


def judged(interpreter: Interpreter, module: ModuleInfo) -> Iterator[Event]:
    """The operators that `module` registers, and where each breaks its word."""
    for operator in collected(interpreter, module):
        yield event_of(operator)
        if operator.schema is not None and not operator.undecided:
            yield from _dishonest(interpreter, operator)


def _dishonest(interpreter: Interpreter, operator: Operator) -> Iterator[Event]:
    bodies = [walked(interpreter, function) for function in operator.real]
    assert operator.schema is not None
    tensors = {p.name for p in operator.schema.parameters if "Tensor" in p.type}
    declared = {p.name for p in operator.schema.parameters if p.written}
    for body in bodies:
        yield from _writes(operator, body, tensors - declared)
    if operator.schema.returns == ():
        return
    real = [r for body in bodies for r in body.returns]
    yield from _aliases(operator, real, tensors, fake=False)
    if not any(r.certain | r.possible for returned in real for r in returned.results):
        fakes = [r for function in operator.fakes for r in walked(interpreter, function).returns]
        yield from _aliases(operator, fakes, tensors, fake=True)


def _writes(operator: Operator, body: Body, undeclared: set[str]) -> Iterator[Event]:
    """For each argument the most certain of the writes to it."""
    found: dict[str, Write] = {}
    for write in body.writes:
        known = found.get(write.argument)
        if write.argument in undeclared and (known is None or (write.certain and not known.certain)):
            found[write.argument] = write
    for argument, write in sorted(found.items()):
        yield OperatorWrites(
            span=write.span,
            confidence=Confidence.HIGH if write.certain else Confidence.MEDIUM,
            steps=(_registered(operator), *write.steps),
            name=operator.name,
            argument=argument,
            how=write.text,
        )


def _aliases(operator: Operator, returns: list[Returned], tensors: set[str], *, fake: bool) -> Iterator[Event]:
    for returned in returns:
        seen: set[object] = set()
        for result in returned.results:
            certain, possible = result.certain & tensors, result.possible & tensors
            if fake and not certain:
                continue
            argument = min(certain or possible, default="")
            twice = not argument and result.own is not None and result.own in seen and result.whole
            if argument or twice:
                yield OperatorReturnsArgument(
                    span=returned.span,
                    confidence=Confidence.HIGH if certain or twice else Confidence.MEDIUM,
                    steps=(_registered(operator),),
                    name=operator.name,
                    argument=argument,
                    maybe=not certain and not twice,
                    fake=fake,
                )
                break
            if result.whole and result.own != "None":
                seen.add(result.own)


def _registered(operator: Operator) -> Step:
    return Step(operator.first.span, f"registers `{operator.name}`")
