"""Compares what a custom operator declares with what its implementations do."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from vllm_lint.analyzer.events import (
    Event,
    FakeDisagrees,
    FakeReadsData,
    ImplementationDecides,
    OperatorRegistered,
    OperatorReturnsArgument,
    OperatorWrites,
)
from vllm_lint.analyzer.findings import Confidence, Edit, Step
from vllm_lint.analyzer.index import ModuleInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.operator_bodies import Body, Returned, Write, walked
from vllm_lint.analyzer.operator_decisions import data_reads, leading, size_decisions
from vllm_lint.analyzer.operator_repairs import declaration_of_writes
from vllm_lint.analyzer.operator_results import Scope, differences
from vllm_lint.analyzer.registrations import Operator, collected, event_of, head_of
from vllm_lint.analyzer.values import Function

EVENTS: tuple[type[Event], ...] = (
    OperatorRegistered,
    OperatorWrites,
    OperatorReturnsArgument,
    FakeDisagrees,
    ImplementationDecides,
    FakeReadsData,
)


def judged(interpreter: Interpreter, module: ModuleInfo) -> Iterator[Event]:
    """The operators that `module` registers, and where each breaks its word."""
    for operator in collected(interpreter, module):
        yield event_of(operator, module)
        if operator.schema is not None and not operator.undecided:
            yield from _dishonest(interpreter, operator, module)
        yield from _traced(interpreter, operator)


def _dishonest(interpreter: Interpreter, operator: Operator, module: ModuleInfo) -> Iterator[Event]:
    bodies = [walked(interpreter, function) for function in operator.real]
    assert operator.schema is not None
    tensors = {p.name for p in operator.schema.parameters if "Tensor" in p.type}
    declared = {p.name for p in operator.schema.parameters if p.written}
    for body in bodies:
        yield from _writes(operator, body, tensors - declared, module)
    if operator.schema.returns == ():
        return
    real = [r for body in bodies for r in body.returns]
    yield from _aliases(operator, real, tensors, fake=False)
    if not any(r.certain | r.possible for returned in real for r in returned.results):
        fakes = [r for function in operator.fakes for r in walked(interpreter, function).returns]
        yield from _aliases(operator, fakes, tensors, fake=True)


def _traced(interpreter: Interpreter, operator: Operator) -> Iterator[Event]:
    """What goes wrong in implementations that run on fake tensors."""
    fakes = [_scope(interpreter, operator, function) for function in operator.fakes]
    reals = [_scope(interpreter, operator, function) for function in operator.real]
    for scope in fakes:
        rows = leading(list(scope.returned()))
        for node, form in size_decisions(scope, rows):
            yield _decides(operator, scope, node, form, fake=True)
        for node in data_reads(scope):
            yield FakeReadsData(
                span=scope.info.module.source.span(node),
                steps=(_registered(operator),),
                name=operator.name,
                text=ast.unparse(node),
            )
    if operator.is_composite:
        for scope in reals:
            for node, form in size_decisions(scope, scope.tensors):
                yield _decides(operator, scope, node, form, fake=False)
    if reals and fakes and operator.schema is not None and not operator.undecided:
        real, fake = ([v for scope in side for v in scope.returned()] for side in (reals, fakes))
        for aspect, is_real, is_fake in differences(real, fake):
            yield FakeDisagrees(
                span=head_of(fakes[0].info),
                steps=(_registered(operator),),
                name=operator.name,
                aspect=aspect,
                real=is_real,
                fake=is_fake,
            )


def _scope(interpreter: Interpreter, operator: Operator, function: Function) -> Scope:
    parameters = operator.schema.parameters if operator.schema is not None else ()
    return Scope.of(interpreter, function, [(p.name, p.type) for p in parameters])


def _decides(operator: Operator, scope: Scope, node: ast.expr, form: str, *, fake: bool) -> Event:
    return ImplementationDecides(
        span=scope.info.module.source.span(node),
        confidence=Confidence.HIGH if fake else Confidence.MEDIUM,
        steps=(_registered(operator),),
        name=operator.name,
        text=ast.unparse(node),
        form=form,
        fake=fake,
    )


def _writes(operator: Operator, body: Body, undeclared: set[str], module: ModuleInfo) -> Iterator[Event]:
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
            declared=_declaration(operator, argument, module) if write.certain else None,
        )


def _declaration(operator: Operator, argument: str, module: ModuleInfo) -> Edit | None:
    assert operator.schema is not None
    written = [p.name for p in operator.schema.parameters if p.written or p.name == argument]
    return declaration_of_writes(module, operator.first.span, operator.first.form, written)


def _aliases(operator: Operator, returns: list[Returned], tensors: set[str], *, fake: bool) -> Iterator[Event]:
    assert operator.schema is not None
    unwritten = {p.name for p in operator.schema.parameters if not p.written and not fake}
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
                    copied=returned.copied
                    if argument in unwritten and result.whole and result.own == argument
                    else None,
                )
                break
            if result.whole and not isinstance(result.own, str):
                seen.add(result.own)


def _registered(operator: Operator) -> Step:
    return Step(operator.first.span, f"registers `{operator.name}`")
