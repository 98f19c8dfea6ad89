"""Finds compiled roots: where TorchDynamo starts to capture, under which contract, and what is dynamic there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from vllm_lint.analyzer import root_inputs
from vllm_lint.analyzer.compile_uses import COMPILE, IGNORE, SUPPORT, decoration, find_uses
from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.events import RootDeclared, UnresolvedRoot
from vllm_lint.analyzer.findings import Contract, Root, Span
from vllm_lint.analyzer.index import Binding, ClassInfo, FunctionInfo, ModuleInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.values import (
    NONE,
    TRUE,
    Class,
    Function,
    Instance,
    Partial,
    Scope,
    Value,
    options,
)

#: Library classes whose `forward` does nothing: a class that has no other bases has none of its own.
_WITHOUT_FORWARD = ("torch.nn.Module", "abc.ABC", "typing.Generic", "typing.Protocol")


@dataclass(frozen=True)
class CompiledRoot:
    """A root, the function that is captured, and what is known of its arguments."""

    root: Root
    function: FunctionInfo
    owner: ClassInfo | None
    """The class whose instance is compiled; it may inherit `function`."""
    event: RootDeclared | None
    scope: Scope | None = None
    """The variables around a function that is defined in another."""
    assumes: frozenset[tuple[str, bool]] = frozenset()
    """What `enable_if` says of fields of the configuration."""

    @property
    def dynamic(self) -> dict[str, str]:
        """Argument to its dynamic dimensions in words."""
        return {
            a.name: ", ".join(f"dim {d}" + (f" ({i})" if i else "") for d, i in a.dynamic.items())
            for a in (self.event.arguments if self.event else ())
            if a.dynamic
        }


def find_roots(interpreter: Interpreter, module: ModuleInfo) -> Iterator[CompiledRoot | UnresolvedRoot]:
    """The roots that a module declares: decorated classes, their subclasses, and uses of torch.compile."""
    for cls in _classes(module.bindings):
        root = _class_root(interpreter, cls)
        if root is not None:
            yield root
    seen = set()
    for use in find_uses(interpreter, module):
        contract = Contract.FULLGRAPH if use.options.get("fullgraph") == TRUE else Contract.COMPILE
        span = module.source.span(use.node)
        for function, owner, scope in _compiled_functions(interpreter, use.target):
            if use.name == SUPPORT and owner is not None:
                yield _vllm_root(interpreter, function, owner, owner, span, use.options)
            elif use.name == COMPILE and (function, owner, contract) not in seen:
                seen.add((function, owner, contract))
                yield CompiledRoot(_root(function, owner, contract), function, owner, None, scope)


def find_declared(interpreter: Interpreter, name: str) -> CompiledRoot | UnresolvedRoot:
    """A root that the user declares as `package.module:Class`, `package.module:function` or a method of a class.

    `package.module:Class(input_ids=1)` says which dimensions are dynamic.
    """
    module_name, _, rest = name.partition(":")
    attribute, _, given = rest.partition("(")
    module = interpreter.project.module(module_name) if module_name else None
    span = Span(module.source.name if module else module_name, 1, 1, 1, 1)
    if not module_name or not attribute:
        return UnresolvedRoot(span=span, name=name, reason="a root is written as `package.module:Name`")
    dims = root_inputs.written_dims(given)
    if dims is None:
        return UnresolvedRoot(span=span, name=name, reason="dynamic dimensions are written as `Name(argument=1)`")
    if module is None:
        return UnresolvedRoot(span=span, name=name, reason=f"no module {module_name} among the source roots")
    found, *inner = attribute.split(".")
    value = interpreter.module_attribute(module, found)
    for part in inner:
        value = _member(interpreter, value, part)
    for option in options(value) if value is not None else ():
        if isinstance(option, Class) and _method(interpreter, option.cls, "forward") is None:
            return UnresolvedRoot(span=span, name=name, reason=f"{attribute} has no forward")
        for function, owner, _ in _compiled_functions(interpreter, option):
            return _declared_root(interpreter, function, owner, dims)
    return UnresolvedRoot(span=span, name=name, reason=f"{module_name} defines no class or function {attribute}")


def enter(interpreter: Interpreter, compiled: CompiledRoot) -> None:
    """Interpret a root; what is seen goes to the interpreter's sink."""
    interpreter.start_root()
    interpreter.contract, interpreter.assumes = compiled.root.contract, compiled.assumes
    home = Frame(compiled.function.module, {})
    receiver = owner = None
    if compiled.owner is not None:
        owner = _defining_class(interpreter, compiled.owner, compiled.function)
        receiver = None if _is_static(compiled.function) else interpreter.instance_of(compiled.owner)
    event = compiled.event
    arguments = {a.name: a for a in event.arguments} if event else {}
    ids = [i for a in arguments.values() if (i := a.dynamic.get(0))]
    kwargs: dict[str, Value] = {}
    for parameter in root_inputs.parameters(compiled.function, method=receiver is not None):
        declared = interpreter.from_annotation(parameter.annotation, home, parameter.arg)
        argument = arguments.get(parameter.arg)
        if event is not None and argument is not None and argument.dynamic:
            own_symbol = event.encoder or argument.dynamic.get(0, "") not in ("", *ids[:1])
            declared = root_inputs.dynamic_value(argument, declared, own_symbol=own_symbol)
        kwargs[parameter.arg] = declared
    function = Function(compiled.function, receiver, compiled.scope, owner)
    interpreter.call_function(function, [], kwargs, compiled.function.node, home)


def _classes(bindings: dict[str, list[Binding]]) -> Iterator[ClassInfo]:
    for several in bindings.values():
        for binding in several:
            if isinstance(binding, ClassInfo):
                yield binding
                yield from _classes(binding.members)


def _class_root(interpreter: Interpreter, cls: ClassInfo) -> CompiledRoot | UnresolvedRoot | None:
    """The root that a class is because it, or else the nearest base that says anything, is decorated."""
    for base in interpreter.project.linearization(cls):
        if isinstance(base, str):
            continue
        for decorator in base.node.decorator_list:  # the first one is applied last, so its word counts
            name, given = decoration(interpreter, decorator, Frame(base.module, {}))
            if name == IGNORE:
                return None
            if name == SUPPORT:
                span = base.module.source.span(decorator) if base is cls else _class_span(cls)
                function = _method(interpreter, cls, "forward")
                if function is not None:
                    return _vllm_root(interpreter, function, cls, base, span, given)
                return _without_forward(interpreter, cls, span) if base is cls else None
    return None


def _without_forward(interpreter: Interpreter, cls: ClassInfo, span: Span) -> UnresolvedRoot | None:
    """A decorated class that has no forward, unless a library that is not read may have it."""
    order = interpreter.project.linearization(cls)
    known = all(len(interpreter.project.resolve_base(b)) >= len(b.node.bases) for b in order if not isinstance(b, str))
    if known and all(b in _WITHOUT_FORWARD for b in interpreter.external_bases(cls)):
        return UnresolvedRoot(span=span, name=cls.name, reason="it has no forward method")
    return None


def _vllm_root(
    interpreter: Interpreter,
    function: FunctionInfo,
    cls: ClassInfo,
    decorated: ClassInfo,
    span: Span,
    given: dict[str, Value],
) -> CompiledRoot:
    """The root `cls`, which is or derives from the class `decorated`, whose forward says what is dynamic."""
    dims = root_inputs.declared_dims(given.get("dynamic_arg_dims", NONE))
    known = dims is not None
    unread = not known and (given.get("dynamic_arg_dims", NONE) != NONE or "..." in given)
    if dims is None:
        signature = _method(interpreter, decorated, "forward") or function
        dims = {} if unread else root_inputs.inferred_dims(interpreter, signature)
    event = RootDeclared(
        span=span,
        class_name=cls.name,
        arguments=root_inputs.arguments(interpreter, function, dims, method=True),
        declared=known,
        undecided=unread,
        unbacked=given.get("mark_unbacked_dims", NONE) != NONE,
        encoder=given.get("is_encoder", NONE) == TRUE,
        inherited=decorated is not cls,
        string_annotations=root_inputs.has_string_annotations(function),
    )
    assumes = frozenset(_assumed(given.get("enable_if")))
    return CompiledRoot(_root(function, cls, Contract.VLLM), function, cls, event, assumes=assumes)


def _assumed(enable_if: Value | None) -> Iterator[tuple[str, bool]]:
    """`(field, True)` for `enable_if=lambda config: config.cache_config.field`, and the opposite for `not`."""
    if isinstance(enable_if, Function) and isinstance(enable_if.info.node, ast.Lambda):
        body = enable_if.info.node.body
        is_negated = isinstance(body, ast.UnaryOp) and isinstance(body.op, ast.Not)
        field = body.operand if isinstance(body, ast.UnaryOp) and is_negated else body
        if isinstance(field, ast.Attribute):
            yield field.attr, not is_negated


def _declared_root(
    interpreter: Interpreter, function: FunctionInfo, owner: ClassInfo | None, dims: dict[str, root_inputs.Dims]
) -> CompiledRoot:
    """A root that the user vouches for: without `dims` every tensor is dynamic, and no decorator can be wrong."""
    method = owner is not None and not _is_static(function)
    dims = dims or root_inputs.tensor_dims(interpreter, function, method=method)
    event = RootDeclared(
        span=_class_span(owner) if owner else _span(function),
        class_name=owner.name if owner else function.name,
        arguments=root_inputs.arguments(interpreter, function, dims, method=method),
        declared=False,
        undecided=True,
        unbacked=False,
        encoder=False,
        inherited=False,
        string_annotations=False,
    )
    return CompiledRoot(_root(function, owner, Contract.VLLM), function, owner, event)


def _root(function: FunctionInfo, cls: ClassInfo | None, contract: Contract) -> Root:
    name = f"{cls.name}.{function.name}" if cls else function.name
    source = (cls or function).module.source
    return Root(name, source.name, (cls or function).node.lineno, contract)


def _compiled_functions(
    interpreter: Interpreter, target: Value
) -> Iterator[tuple[FunctionInfo, ClassInfo | None, Scope | None]]:
    """The functions that are captured where `target` is compiled, each with the class of its receiver."""
    for option in options(target):
        if isinstance(option, Partial):
            yield from _compiled_functions(interpreter, option.function)
        elif isinstance(option, Function):
            owner = option.receiver.cls if isinstance(option.receiver, Instance) else option.owner
            yield option.info, owner, option.scope
        elif isinstance(option, (Instance, Class)):
            function = _method(interpreter, option.cls, "forward")
            if function is not None:
                yield function, option.cls, None


def _member(interpreter: Interpreter, value: Value | None, name: str) -> Value | None:
    """A class or method of the class `value`."""
    found = interpreter.member(value.cls, name) if isinstance(value, Class) else None
    if found is None or not isinstance(value, Class):
        return None
    if isinstance(found[1], FunctionInfo):
        receiver = None if _is_static(found[1]) else interpreter.instance_of(value.cls)
        return Function(found[1], receiver, owner=found[0])
    return Class(found[1]) if isinstance(found[1], ClassInfo) else None


def _method(interpreter: Interpreter, cls: ClassInfo, name: str) -> FunctionInfo | None:
    found = interpreter.member(cls, name)
    return found[1] if found is not None and isinstance(found[1], FunctionInfo) else None


def _defining_class(interpreter: Interpreter, cls: ClassInfo, function: FunctionInfo) -> ClassInfo:
    found = interpreter.member(cls, function.name)
    return found[0] if found is not None else cls


def _is_static(function: FunctionInfo) -> bool:
    decorators = getattr(function.node, "decorator_list", ())
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in decorators)


def _class_span(cls: ClassInfo) -> Span:
    line = cls.node.lineno
    column = cls.node.col_offset + 1
    width = len("class ") + len(cls.name)
    return Span(cls.module.source.name, line, column, line, column + width)


def _span(function: FunctionInfo) -> Span:
    line, column = function.node.lineno, function.node.col_offset + 1
    return Span(function.module.source.name, line, column, line, column + len("def ") + len(function.name))
