"""Finds compiled roots: where TorchDynamo starts to capture, under which contract, and what is dynamic there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from vllm_lint.analyzer import operators
from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.events import Argument, RootDeclared, UnresolvedRoot
from vllm_lint.analyzer.findings import Contract, Root, Span
from vllm_lint.analyzer.index import ClassInfo, FunctionInfo, ModuleInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.sizes import TOKENS, Size
from vllm_lint.analyzer.values import (
    NONE,
    Class,
    Const,
    Function,
    Instance,
    Mapping,
    Sequence,
    Tensor,
    Trail,
    Value,
    choice,
    element_of,
)

SUPPORT = "vllm.compilation.decorators.support_torch_compile"
IGNORE = "vllm.compilation.decorators.ignore_torch_compile"
INTERMEDIATE_TENSORS = "vllm.sequence.IntermediateTensors"

#: Annotations that vLLM recognises when it infers the dynamic arguments (`support_torch_compile`).
_RECOGNISED = {"torch.Tensor", "torch.FloatTensor", INTERMEDIATE_TENSORS}

#: Inputs that hold one number for each token, by vLLM's naming; other tensors have a width.
_ONE_DIMENSIONAL = {"input_ids", "positions", "position_ids", "token_type_ids", "cu_seqlens", "max_seqlen", "seqlens"}


#: How arguments end that vLLM passes as tensors with one element.
_SCALAR_ENDING = "max_seqlen"
_TENSOR_ATTRIBUTES = {"shape", "size", "dtype", "device", "view", "reshape", "to", "unsqueeze", "ndim", "dim", "numel"}

_COMPILE_CALL = re.compile(r"\btorch\.compile\(|\bself\.[\w.]+\.compile\(|import compile\b")


@dataclass(frozen=True)
class CompiledRoot:
    """A root, the function that is captured, and what is known of its arguments."""

    root: Root
    function: FunctionInfo
    owner: ClassInfo | None
    """The class whose instance is compiled; it may inherit `function`."""
    event: RootDeclared | UnresolvedRoot | None

    @property
    def dynamic(self) -> dict[str, str]:
        """Argument to its dynamic dimensions in words."""
        if not isinstance(self.event, RootDeclared):
            return {}
        return {
            a.name: ", ".join(f"dim {d}" + (f" ({i})" if i else "") for d, i in a.dynamic.items())
            for a in self.event.arguments
            if a.dynamic
        }


def find_roots(interpreter: Interpreter, module: ModuleInfo) -> Iterator[CompiledRoot]:
    """The roots that a module declares: decorated classes, their subclasses, and uses of torch.compile."""
    for bindings in module.bindings.values():
        for binding in bindings:
            if isinstance(binding, ClassInfo):
                root = _class_root(interpreter, binding)
                if root is not None:
                    yield root
    if "torch" in module.source.text and "compile" in module.source.text:
        yield from _torch_compile_roots(interpreter, module)


def find_declared(interpreter: Interpreter, name: str) -> CompiledRoot | UnresolvedRoot:
    """A root that the user declares as `package.module:Class` or `package.module:function`."""
    module_name, _, attribute = name.partition(":")
    module = interpreter.project.module(module_name)
    nowhere = Span(module.source.name if module else module_name, 1, 1, 1, 1)
    if module is None:
        return UnresolvedRoot(span=nowhere, name=name, reason=f"no module {module_name} among the source roots")
    value = interpreter.module_attribute(module, attribute)
    if isinstance(value, Class):
        found = _method(interpreter, value.cls, "forward")
        if found is None:
            return UnresolvedRoot(span=nowhere, name=name, reason=f"{attribute} has no forward")
        return _root(interpreter, found, value.cls, Contract.VLLM, _class_span(value.cls), None)
    if isinstance(value, Function):
        return _root(interpreter, value.info, None, Contract.VLLM, _span(value.info), None)
    return UnresolvedRoot(span=nowhere, name=name, reason=f"{module_name} defines no class or function {attribute}")


def enter(interpreter: Interpreter, compiled: CompiledRoot) -> None:
    """Interpret a root; what is seen goes to the interpreter's sink."""
    interpreter.start_root()
    interpreter.contract = compiled.root.contract
    module = compiled.function.module
    home = Frame(module, {})
    receiver = None
    args: list[Value] = []
    if compiled.owner is not None:
        receiver = interpreter.instance_of(compiled.owner)
    dynamic = {}
    event = compiled.event
    if isinstance(event, RootDeclared):
        dynamic = {a.name: a for a in event.arguments}
    owner = compiled.owner and _defining_class(interpreter, compiled.owner, compiled.function)
    function = Function(compiled.function, receiver, owner=owner)
    kwargs: dict[str, Value] = {}
    encoder = isinstance(event, RootDeclared) and event.encoder
    for parameter in _parameters(compiled.function, method=compiled.owner is not None):
        argument = dynamic.get(parameter.arg)
        declared = interpreter.from_annotation(parameter.annotation, home, parameter.arg)
        if compiled.root.contract is Contract.VLLM and argument is not None and argument.dynamic:
            kwargs[parameter.arg] = _dynamic_value(argument, declared, own_symbol=encoder)
        else:
            kwargs[parameter.arg] = declared
    interpreter.call_function(function, args, kwargs, compiled.function.node, home)


# Decorated classes


def _class_root(interpreter: Interpreter, cls: ClassInfo) -> CompiledRoot | None:
    for base in interpreter.project.linearization(cls):
        if isinstance(base, str):
            continue
        for decorator in base.node.decorator_list:
            name = interpreter.qualified_name(decorator, Frame(base.module, {}))
            if name == IGNORE or (base is cls and name.endswith(".ignore_torch_compile")):
                return None
            if name == SUPPORT or name.endswith(".compilation.decorators.support_torch_compile"):
                found = _method(interpreter, cls, "forward")
                if found is None:
                    return _unresolved(cls, decorator)
                span = base.module.source.span(decorator) if base is cls else _class_span(cls)
                return _root(interpreter, found, cls, Contract.VLLM, span, (decorator, base))
    return None


def _unresolved(cls: ClassInfo, decorator: ast.expr) -> CompiledRoot | None:
    """A class that is decorated itself but has no forward that can be found."""
    if any(decorator is d for d in cls.node.decorator_list) and not cls.node.bases:
        span = cls.module.source.span(decorator)
        event = UnresolvedRoot(span=span, name=cls.name, reason="it has no forward method")
        root = Root(f"{cls.name}.forward", span.path, span.line, Contract.VLLM)
        stub = FunctionInfo(ast.parse("lambda: None", mode="eval").body, cls.module, cls.name)  # type: ignore[arg-type]
        return CompiledRoot(root, stub, None, event)
    return None


def _method(interpreter: Interpreter, cls: ClassInfo, name: str) -> FunctionInfo | None:
    found = interpreter.member(cls, name)
    return found[1] if found is not None and isinstance(found[1], FunctionInfo) else None


def _defining_class(interpreter: Interpreter, cls: ClassInfo, function: FunctionInfo) -> ClassInfo:
    found = interpreter.member(cls, function.name)
    return found[0] if found is not None else cls


def _root(
    interpreter: Interpreter,
    function: FunctionInfo,
    cls: ClassInfo | None,
    contract: Contract,
    span: Span,
    decorator: tuple[ast.expr, ClassInfo] | None,
) -> CompiledRoot:
    home = Frame(function.module, {})
    keywords: dict[str, Value] = {}
    if decorator is not None and isinstance(decorator[0], ast.Call):
        with interpreter.silently():
            for keyword in decorator[0].keywords:
                if keyword.arg:
                    keywords[keyword.arg] = interpreter.evaluate(keyword.value, Frame(decorator[1].module, {}))
    given = keywords.get("dynamic_arg_dims", NONE)
    declared = _declared_dims(given)
    future = (
        "annotations" in function.module.bindings
        and "from __future__ import annotations" in function.module.source.text
    )
    arguments = []
    for parameter in _parameters(function, method=cls is not None):
        annotation = parameter.annotation
        names = _annotation_names(interpreter, annotation, home)
        text = ast.unparse(annotation) if annotation is not None else ""
        as_string = future or isinstance(annotation, ast.Constant)
        if declared is not None:
            dims = declared.get(parameter.arg, {})
        elif given == NONE and names and names <= _RECOGNISED and not as_string:
            dims = {0: ""}
        else:
            dims = {}
        tensor = _is_tensor(interpreter, function, parameter, names, home)
        arguments.append(
            Argument(
                name=parameter.arg,
                span=function.module.source.span(parameter),
                annotation=text,
                tensor=tensor,
                dynamic=dims,
            )
        )
    name = f"{cls.name}.{function.name}" if cls else function.name
    path = cls.module.source.name if cls else function.module.source.name
    line = cls.node.lineno if cls else function.node.lineno
    event = RootDeclared(
        span=span,
        class_name=cls.name if cls else function.name,
        arguments=tuple(arguments),
        declared=declared is not None,
        undecided=declared is None and (given != NONE or _takes_unknown_options(decorator)),
        unbacked=keywords.get("mark_unbacked_dims", NONE) != NONE,
        encoder=keywords.get("is_encoder", NONE) == Const(True),
        inherited=decorator is not None and cls is not None and decorator[1] is not cls,
        string_annotations=future,
    )
    return CompiledRoot(Root(name, path, line, contract), function, cls, event if contract is Contract.VLLM else None)


def _takes_unknown_options(decorator: tuple[ast.expr, ClassInfo] | None) -> bool:
    """Whether options come out of a mapping: `@support_torch_compile(**options)`."""
    call = decorator[0] if decorator is not None else None
    return isinstance(call, ast.Call) and any(k.arg is None for k in call.keywords)


def _is_tensor(
    interpreter: Interpreter, function: FunctionInfo, parameter: ast.arg, names: frozenset[str], home: Frame
) -> bool:
    """Whether a tensor with more than one element is passed, by annotation or, without one, by use."""
    if parameter.arg.endswith(_SCALAR_ENDING) or names & {"int", "float", "bool"}:
        return False
    if parameter.annotation is None:
        return parameter.arg in _operands(function)
    if names & operators.TENSOR_TYPES or INTERMEDIATE_TENSORS in names:
        return True
    return any(_annotation_names(interpreter, p, home) & operators.TENSOR_TYPES for p in _items(parameter.annotation))


def _items(annotation: ast.expr) -> list[ast.expr]:
    """What the lists and tuples in an annotation hold."""
    if isinstance(annotation, ast.BinOp):
        return [*_items(annotation.left), *_items(annotation.right)]
    if not isinstance(annotation, ast.Subscript):
        return []
    inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    kind = ast.unparse(annotation.value).rpartition(".")[2]
    if kind in ("Optional", "Union"):
        return [i for part in inner for i in _items(part)]
    return inner if kind in ("list", "List", "tuple", "Tuple", "Sequence", "Iterable") else []


def _operands(function: FunctionInfo) -> set[str]:
    """Parameters that are used as only tensors are: methods and attributes of tensors, and arithmetic with these."""
    found: set[str] = set()
    for node in ast.walk(function.node):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _TENSOR_ATTRIBUTES:
            found.add(node.value.id)
    annotated = {p.arg for p in _parameters(function, method=True) if p.annotation is not None}
    for node in ast.walk(function.node):
        if isinstance(node, ast.BinOp):
            sides = {s.id for s in (node.left, node.right) if isinstance(s, ast.Name)}
            found |= sides if sides & annotated and len(sides) == 2 else set()
    return found


def _declared_dims(value: Value) -> dict[str, dict[int, str]] | None:
    """`dynamic_arg_dims` as argument to dimension to shape id; None where it is not given or not known."""
    if not isinstance(value, Mapping) or value.items is None:
        return None
    found: dict[str, dict[int, str]] = {}
    for name, dims in value.items.items():
        if isinstance(dims, Const) and isinstance(dims.value, int):
            found[str(name)] = {dims.value: ""}
        elif isinstance(dims, Sequence):
            found[str(name)] = {
                d.value: "" for d in dims.items or [] if isinstance(d, Const) and isinstance(d.value, int)
            }
        elif isinstance(dims, Mapping) and dims.items is not None:
            found[str(name)] = {
                d: i.value if isinstance(i, Const) and isinstance(i.value, str) else ""
                for d, i in dims.items.items()
                if isinstance(d, int)
            }
    return found


def _annotation_names(interpreter: Interpreter, node: ast.expr | None, home: Frame) -> frozenset[str]:
    """Qualified names of the types that an annotation is a union of, None left out."""
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return frozenset()
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return _annotation_names(interpreter, ast.parse(node.value, mode="eval").body, home)
        except SyntaxError:
            return frozenset()
    if isinstance(node, ast.BinOp):
        return _annotation_names(interpreter, node.left, home) | _annotation_names(interpreter, node.right, home)
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] in ("Optional", "Union"):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return frozenset[str]().union(*(_annotation_names(interpreter, p, home) for p in parts))
    if isinstance(node, ast.Subscript):
        return frozenset({f"{ast.unparse(node.value)}[]"})
    return frozenset({interpreter.qualified_name(node, home)})


def _parameters(function: FunctionInfo, *, method: bool) -> list[ast.arg]:
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    return [*positional[1 if method else 0 :], *arguments.kwonlyargs]


def _dynamic_value(argument: Argument, declared: Value, *, own_symbol: bool) -> Value:
    """The abstract argument of a root: a tensor whose marked dimensions are token counts."""
    if all(isinstance(o, Mapping) or o == NONE for o in getattr(declared, "options", (declared,))):
        inner = _token_tensor(argument, own_symbol=own_symbol)
        return choice(
            [Mapping(None, inner), NONE] if declared == NONE or _may_be_none(declared) else [Mapping(None, inner)]
        )
    if INTERMEDIATE_TENSORS.rpartition(".")[2] in argument.annotation:
        value: Value = Mapping(None, _token_tensor(argument, own_symbol=own_symbol))
    else:
        value = _token_tensor(argument, own_symbol=own_symbol)
    return choice([value, NONE]) if _may_be_none(declared) else value


def _may_be_none(value: Value) -> bool:
    return any(o == NONE for o in getattr(value, "options", (value,)))


def _token_tensor(argument: Argument, *, own_symbol: bool) -> Tensor:
    last = max(d for d in argument.dynamic) if argument.dynamic else 0
    flat = argument.name in _ONE_DIMENSIONAL and last <= 0
    rank = 1 if flat else max(2, last + 2)
    dims = [Size.static(f"{argument.name}.shape[{i}]") if i else Size.static("width") for i in range(rank)]
    dims[1:2] = [Size.static("width")] if rank > 1 else []
    for dim, shape_id in argument.dynamic.items():
        if -rank <= dim < rank:
            first = dim % rank == 0 or flat
            name = TOKENS if first and not own_symbol else f"{shape_id or argument.name}:{dim}"
            dims[dim] = Size.symbol(name)
    ids = {i for i in argument.dynamic.values() if i}
    label = f"#{min(ids)}" if ids else argument.name
    where = ", ".join(str(d) for d in argument.dynamic)
    trail = Trail(argument.span, f"`{argument.name}` enters with dimension {where} dynamic")
    # By vLLM's naming `positions` is (n,), or (3, n) with its last dimension marked.
    settled = argument.name == "positions" and min(argument.dynamic, default=-1) >= 0
    return Tensor(tuple(dims), open=not settled, trail=trail, inputs=frozenset({label}))


# torch.compile


def _torch_compile_roots(interpreter: Interpreter, module: ModuleInfo) -> Iterator[CompiledRoot]:
    home = Frame(module, {})
    for owner, decorated in _functions(module):
        node = decorated.node
        if isinstance(node, ast.Lambda):
            continue
        for decorator in node.decorator_list:
            if interpreter.qualified_name(decorator, home) == "torch.compile":
                span = module.source.span(decorator)
                yield _root(interpreter, decorated, owner, _compile_contract(decorator), span, None)
    for owner, call in _compile_calls(module):
        target = call.args[0] if call.args else None
        if isinstance(call.func, ast.Attribute) and not call.args and isinstance(call.func.value, ast.Attribute):
            target = call.func.value
            function = _compiled_module(interpreter, module, owner, target)
        elif interpreter.qualified_name(call.func, home) != "torch.compile" or target is None:
            continue
        else:
            function = _compiled_target(interpreter, module, owner, target)
        if function is not None:
            cls = owner if owner is not None and interpreter.member(owner, function.name) else None
            if cls is not None and interpreter.member(cls, function.name)[1] is not function:  # type: ignore[index]
                continue
            yield _root(interpreter, function, cls, _compile_contract(call), module.source.span(call), None)


def _functions(module: ModuleInfo) -> Iterator[tuple[ClassInfo | None, FunctionInfo]]:
    for bindings in module.bindings.values():
        for binding in bindings:
            if isinstance(binding, FunctionInfo):
                yield None, binding
            elif isinstance(binding, ClassInfo):
                for members in binding.members.values():
                    for member in members:
                        if isinstance(member, FunctionInfo):
                            yield binding, member


def _compile_calls(module: ModuleInfo) -> Iterator[tuple[ClassInfo | None, ast.Call]]:
    classes = {id(b.node): b for bindings in module.bindings.values() for b in bindings if isinstance(b, ClassInfo)}

    def visit(node: ast.AST, owner: ClassInfo | None) -> Iterator[tuple[ClassInfo | None, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            inside = classes.get(id(child), owner)
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr == "compile":
                yield inside, child
            yield from visit(child, inside)

    if _COMPILE_CALL.search(module.source.text):
        yield from visit(module.source.tree, None)


def _compiled_target(
    interpreter: Interpreter, module: ModuleInfo, owner: ClassInfo | None, target: ast.expr
) -> FunctionInfo | None:
    """The function that `torch.compile(target)` compiles."""
    with interpreter.silently():
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
            return _method(interpreter, owner, target.attr) if owner is not None else None
        value = interpreter.evaluate(target, Frame(module, {}))
    if isinstance(value, Function) and value.info.module is module:
        return value.info
    return None


def _compiled_module(
    interpreter: Interpreter, module: ModuleInfo, owner: ClassInfo | None, target: ast.Attribute
) -> FunctionInfo | None:
    """The forward that `self.<attribute>.compile()` compiles, if the attribute's class is in this module."""
    if owner is None or not isinstance(target.value, ast.Name) or target.value.id != "self":
        return None
    instance = interpreter.instance_of(owner)
    value = instance.attributes.get(target.attr) if isinstance(instance, Instance) else None
    if isinstance(value, Sequence):
        value = element_of(value)
    if isinstance(value, Instance) and value.cls.module is module:
        return _method(interpreter, value.cls, "forward")
    return None


def _compile_contract(node: ast.expr) -> Contract:
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg == "fullgraph" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True:
                return Contract.FULLGRAPH
    return Contract.COMPILE


def _class_span(cls: ClassInfo) -> Span:
    line = cls.node.lineno
    column = cls.node.col_offset + 1
    width = len("class ") + len(cls.name)
    return Span(cls.module.source.name, line, column, line, column + width)


def _span(function: FunctionInfo) -> Span:
    line, column = function.node.lineno, function.node.col_offset + 1
    return Span(function.module.source.name, line, column, line, column + len("def ") + len(function.name))
