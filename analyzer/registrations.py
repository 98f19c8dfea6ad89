"""Finds the custom operators that a module registers, by running what stands at its top level."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.events import Implementation, OperatorRegistered, Parameter
from vllm_lint.analyzer.findings import Confidence, Contract, Span
from vllm_lint.analyzer.index import Binding, FunctionInfo, ModuleInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.operator_repairs import fake_implementation
from vllm_lint.analyzer.registering import DIRECT, LIBRARY, Registering
from vllm_lint.analyzer.schemas import Schema, parsed_schema, returned_types, type_of
from vllm_lint.analyzer.values import NONE, UNKNOWN, Const, External, Function, Layer, Partial, Sequence, Value, options

#: Without one of these a file registers nothing, unless by way of a function of another file.
WORDS = ("direct_register_custom_op", "torch.library", "custom_op(", "triton_op(", "register_fake(", "Library(")

#: Calls followed for one module; those that register many operators take a few hundred.
_BUDGET = 1000
_DEFINES = (DIRECT, "torch.library.custom_op", "torch.library.triton_op", "torch.library.define", f"{LIBRARY}.define")
_COMPOSITE = ("CompositeExplicitAutograd", "CompositeImplicitAutograd")


@dataclass
class Operator:
    """What a module tells of one operator."""

    name: str
    first: Registering
    defined: bool = False
    schema: Schema | None = None
    real: list[Function] = field(default_factory=list)
    fakes: list[Function] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    """Dispatch keys that it is implemented for; "" for one that is not known."""
    undecided: bool = False
    again: list[Registering] = field(default_factory=list)
    """Further definitions that are certain to run."""

    @property
    def is_composite(self) -> bool:
        """Whether it runs on fake tensors itself, so that it needs no fake implementation."""
        return not self.keys.isdisjoint(_COMPOSITE)


def collected(interpreter: Interpreter, module: ModuleInfo) -> list[Operator]:
    """What the top level of `module` says about operators, put together by operator."""
    interpreter.start_root(_BUDGET)
    interpreter.contract = Contract.VLLM
    top = ast.FunctionDef("<module>", _NO_ARGUMENTS, module.source.tree.body, [], lineno=1, col_offset=0)
    _run(interpreter, module.source.tree.body, Frame(module, {}, FunctionInfo(top, module, f"{module.name}.<module>")))
    found: dict[str, Operator] = {}
    for event in interpreter.recording.told():
        if isinstance(event, Registering):
            _take(interpreter, event, found)
    return list(found.values())


_NO_ARGUMENTS = ast.arguments([], [], None, [], [], None, [])


def _run(interpreter: Interpreter, body: list[ast.stmt], frame: Frame) -> None:
    """Run the statements of a top level that can register something; names that others bind are looked up."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = Function(_info(statement, frame.module))
            registers = any(_REGISTERS.search(ast.unparse(d)) for d in statement.decorator_list)
            frame.variables[statement.name] = interpreter.decorated(function, frame) if registers else function
        elif isinstance(statement, (ast.If, ast.Try)):
            _run_arms(interpreter, statement, frame)
        elif isinstance(statement, ast.With):
            _run(interpreter, statement.body, frame)
        elif isinstance(statement, (ast.Expr, ast.For, ast.While)) or (
            isinstance(statement, (ast.Assign, ast.AnnAssign)) and _calls(statement)
        ):
            interpreter.execute([statement], frame)


def _run_arms(interpreter: Interpreter, statement: ast.If | ast.Try, frame: Frame) -> None:
    """Run what may or may not run; what a name means afterwards is what it means in any of them."""
    if isinstance(statement, ast.If):
        with interpreter.silently():
            truth = interpreter.decide(statement.test, frame, "if")
        arms = [
            body for body, runs in ((statement.body, truth), (statement.orelse, not truth)) if runs or truth is None
        ]
    else:
        arms = [[*statement.body, *statement.orelse], *(h.body for h in statement.handlers), statement.finalbody]
    bound: set[str] = set()
    for arm in arms:
        inner = frame.fork()
        with interpreter.conditionally(active=len(arms) > 1):
            _run(interpreter, arm, inner)
        bound |= {name for name, value in inner.variables.items() if frame.variables.get(name) is not value}
        if len(arms) == 1:
            frame.variables.update(inner.variables)
    if len(arms) > 1:
        for name in bound:
            frame.variables.pop(name, None)


def _info(node: ast.FunctionDef | ast.AsyncFunctionDef, module: ModuleInfo) -> FunctionInfo:
    known: list[Binding] = module.bindings.get(node.name, [])
    found = next((b for b in known if isinstance(b, FunctionInfo) and b.node is node), None)
    return found or FunctionInfo(node, module, f"{module.name}.{node.name}")


#: Decorators that can register something; what others make of a function takes long to find out, and tells nothing.
_REGISTERS = re.compile(r"custom_op|triton_op|register_|impl|define")


def _calls(statement: ast.stmt) -> bool:
    return any(isinstance(n, ast.Call) for n in ast.walk(statement))


# Putting together


def _take(interpreter: Interpreter, event: Registering, found: dict[str, Operator]) -> None:
    given, form = event.arguments, event.form
    if form.startswith("operator."):
        functions = {f.info for f in _functions(interpreter, event.target)}
        for operator in found.values():
            if any(f.info in functions for f in operator.real):
                _describe(interpreter, operator, event)
        return
    name, text = _name(event)
    if (
        name in found
        and form in _DEFINES
        and found[name].defined
        and (event.conditional or found[name].first.conditional)
    ):
        name = f"{name} (line {event.span.line})"  # another arm of a condition defines it as well
    operator = found.setdefault(name, Operator(name.partition(" (")[0], event))
    if form in _DEFINES and operator.defined:
        operator.again.append(event)
    elif form in _DEFINES:
        operator.defined = True
        operator.first = event
        if form.endswith("define"):
            operator.schema = parsed_schema(text)
        else:
            function = next(iter(_functions(interpreter, given.get("op_func", given.get("func", UNKNOWN)))), None)
            written = _names(given.get("mutates_args", NONE))
            operator.undecided |= written is None or function is None
            if function is not None:
                operator.schema = Schema(
                    _parameters(function, written or frozenset()) or (), returned_types(function.info.node)
                )
    _describe(interpreter, operator, event)


def _describe(interpreter: Interpreter, operator: Operator, event: Registering) -> None:
    given, form = event.arguments, event.form
    if form == DIRECT:
        _add(interpreter, operator, operator.real, given.get("op_func", UNKNOWN))
        if given.get("fake_impl", NONE) != NONE:
            _add(interpreter, operator, operator.fakes, given["fake_impl"])
        operator.keys.add(_text(given.get("dispatch_key", UNKNOWN)) or "")
    elif form.endswith(("register_fake", "impl_abstract")):
        _add(interpreter, operator, operator.fakes, given.get("func", UNKNOWN))
    elif not form.endswith("define"):
        key = _text(given.get("key", UNKNOWN)) or ""
        _add(interpreter, operator, operator.fakes if key == "Meta" else operator.real, given.get("func", UNKNOWN))
        operator.keys.add(key)
        if form == "torch.library.triton_op":
            operator.keys.add(_COMPOSITE[0])  # it is traced through


def _add(interpreter: Interpreter, operator: Operator, functions: list[Function], value: Value) -> None:
    found = _functions(interpreter, value)
    functions += [f for f in found if all(f.info is not known.info for known in functions)]
    operator.undecided |= not found


def _functions(interpreter: Interpreter, value: Value) -> list[Function]:
    found: list[Function] = []
    for option in options(value):
        while isinstance(option, Partial) and option.arguments and isinstance(option.function, External):
            option = option.arguments[0]  # noqa: PLW2901 - an operator stands for the function it was made of
        if isinstance(option, Function):
            found.append(_wrapped(interpreter, option))
    return found


def _wrapped(interpreter: Interpreter, function: Function) -> Function:
    """What `functools.wraps` says that a function stands for: torch reads the signature of that."""
    frame = Frame(function.info.module, {}, function.info, function.scope)
    for decorator in getattr(function.info.node, "decorator_list", ()):
        if isinstance(decorator, ast.Call) and interpreter.qualified_name(decorator, frame) == "functools.wraps":
            with interpreter.silently():
                inner = interpreter.evaluate(decorator.args[0], frame) if decorator.args else UNKNOWN
            if isinstance(inner, Function) and inner.info is not function.info:
                return _wrapped(interpreter, inner)
    return function


def _name(event: Registering) -> tuple[str, str]:
    """The name of the operator with its namespace, and the schema where it is given with the name."""
    given = event.arguments
    text = _text(given.get("op_name", given.get("name", given.get("schema", UNKNOWN))))
    schema = _text(given.get("schema", UNKNOWN)) or ""
    if text is None:
        return f"{event.text} at line {event.span.line}", schema
    if event.form.endswith(".define"):
        schema = schema[schema.find("(") :]
    name = text.partition("(")[0].strip()
    if "::" not in name:
        library = given.get("target_lib", NONE) if event.form == DIRECT else event.target
        name = f"{_namespace(library)}::{name}"
    return name, schema


def _namespace(library: Value) -> str:
    if library == NONE:
        return "vllm"
    if isinstance(library, Layer):
        return _text(library.argument(0, "ns") or UNKNOWN) or "?"
    return "?"


def _text(value: Value) -> str | None:
    return value.value if isinstance(value, Const) and isinstance(value.value, str) else None


def _names(value: Value) -> frozenset[str] | None:
    """What `mutates_args` says; None if that is not known."""
    if value == NONE:
        return frozenset()
    if _text(value) is not None:
        return frozenset([_text(value) or ""]) if _text(value) != "unknown" else None
    if not isinstance(value, Sequence) or value.items is None:
        return None
    names = [_text(item) for item in value.items]
    return None if None in names else frozenset(n for n in names if n is not None)


# What rules hear


def event_of(operator: Operator, module: ModuleInfo) -> OperatorRegistered:
    """What rules hear of an operator that `module` registers."""
    schema = operator.schema
    return OperatorRegistered(
        span=_span(operator.first),
        confidence=Confidence.HIGH,
        name=operator.name,
        parameters=schema.parameters if schema is not None else None,
        returns=schema.returns if schema is not None else None,
        real=tuple(map(_implementation, operator.real)),
        fakes=tuple(map(_implementation, operator.fakes)),
        defined=operator.defined,
        composite=operator.is_composite,
        undecided=operator.undecided,
        again=tuple(e.span for e in operator.again),
        measured=any(map(_returns_size, operator.fakes)),
        faked=()
        if operator.fakes
        else fake_implementation(module, operator.first.span, operator.first.form, operator.real),
    )


def _span(event: Registering) -> Span:
    """Where the registration stands: the call that names the operator."""
    return event.span


def _implementation(function: Function) -> Implementation:
    node = function.info.node
    body: list[ast.stmt] = [] if isinstance(node, ast.Lambda) else node.body
    rest = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    is_empty = not isinstance(node, ast.Lambda) and all(isinstance(s, ast.Pass) for s in rest)
    return Implementation(
        name=function.info.name,
        span=head_of(function.info),
        parameters=_parameters(function, frozenset()),
        is_empty=is_empty,
        raises=len(rest) == 1 and isinstance(rest[0], ast.Raise),
    )


def _returns_size(function: Function) -> bool:
    """Whether a size, a symbol for one or a parameter may be what a fake implementation returns."""
    node = function.info.node
    returned = (
        [node.body]
        if isinstance(node, ast.Lambda)
        else [n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value is not None]
    )
    return any(not isinstance(value, ast.Constant) for value in returned)


def head_of(info: FunctionInfo) -> Span:
    """The name in a definition."""
    span = info.module.source.span(info.node)
    if isinstance(info.node, ast.Lambda):
        return span
    line = info.module.source.lines[span.line - 1]
    found = re.match(r"\s*(?:async\s+)?def\s+", line)
    start = found.end() + 1 if found else span.column
    return Span(span.path, span.line, start, span.line, start + len(info.name))


def _parameters(function: Function, written: frozenset[str]) -> tuple[Parameter, ...] | None:
    arguments = function.info.node.args
    if arguments.vararg or arguments.kwarg:
        return None
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults]
    given: list[tuple[ast.arg, ast.expr | None, bool]] = [
        *((a, d, False) for a, d in zip(positional, defaults, strict=True)),
        *((a, d, True) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)),
    ]
    found = tuple(
        Parameter(
            name=a.arg,
            type=type_of(a.annotation),
            default=None if d is None else ast.unparse(d),
            written=a.arg in written,
            by_keyword=by_keyword,
        )
        for a, d, by_keyword in given
    )
    return found[1:] if function.receiver is not None else found
