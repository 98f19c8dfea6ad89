"""The arguments of a compiled root: which dimensions vLLM marks as dynamic, and the values to interpret it with."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping as MappingType

from vllm_lint.analyzer import operators
from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.events import Argument
from vllm_lint.analyzer.index import Assignment, FunctionInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.sizes import TOKENS, Size
from vllm_lint.analyzer.values import NONE, Const, Mapping, Sequence, Tensor, Trail, Value, choice, options

INTERMEDIATE_TENSORS = "vllm.sequence.IntermediateTensors"

#: Annotations that vLLM recognises, alone or with None, when it infers the dynamic arguments.
_RECOGNISED = {"torch.Tensor", "torch.FloatTensor", INTERMEDIATE_TENSORS}

#: Stands for a type that is only named in a string, inside an annotation or as all of it.
_AS_STRING = "''"

#: Inputs that hold one number for each token, by vLLM's naming; other tensors have a width.
_ONE_DIMENSIONAL = {"input_ids", "positions", "position_ids", "token_type_ids", "cu_seqlens", "max_seqlen", "seqlens"}

#: What vLLM calls tensors that every model takes, so that no annotation is needed to know them.
_TOKEN_INPUTS = {"input_ids", "positions", "position_ids"}

#: How arguments end that vLLM passes as tensors with one element.
_SCALAR_ENDING = "max_seqlen"
_TENSOR_ATTRIBUTES = {"shape", "size", "dtype", "device", "view", "reshape", "to", "unsqueeze", "ndim", "dim", "numel"}

_WRITTEN_DIM = re.compile(r"(\w+)=(-?\d+)")

#: Dimension to shape id, "" where it has none.
Dims = dict[int, str]


def parameters(function: FunctionInfo, *, method: bool) -> list[ast.arg]:
    """The named parameters, without the receiver of a method."""
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    return [*positional[1 if method else 0 :], *arguments.kwonlyargs]


def declared_dims(value: Value) -> dict[str, Dims] | None:
    """`dynamic_arg_dims` by argument; None where it is not given or not known."""
    if not isinstance(value, Mapping) or value.items is None:
        return None
    found: dict[str, Dims] = {}
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


def inferred_dims(interpreter: Interpreter, function: FunctionInfo) -> dict[str, Dims]:
    """The dimensions that vLLM marks for want of `dynamic_arg_dims`: the first of what is annotated as a tensor."""
    if has_string_annotations(function):
        return {}
    home = Frame(function.module, {})
    found: dict[str, Dims] = {}
    for parameter in parameters(function, method=True):
        names = _union(interpreter, parameter.annotation, home)
        if len(names) == 1 and names <= _RECOGNISED:
            found[parameter.arg] = {0: ""}
    return found


def written_dims(text: str) -> dict[str, Dims] | None:
    """The dims of `a=0, b=-1)`, the end of a root that the user declares; none if it is empty, None if it is wrong."""
    found = {name: {int(dim): ""} for name, dim in _WRITTEN_DIM.findall(text)}
    return found if re.fullmatch(rf"({_WRITTEN_DIM.pattern},?\s*)*\)" if text else "", text) else None


def tensor_dims(interpreter: Interpreter, function: FunctionInfo, *, method: bool) -> dict[str, Dims]:
    """The first dimension of every argument that takes a tensor, however it is annotated."""
    return {p.arg: {0: ""} for p in parameters(function, method=method) if _is_tensor(interpreter, function, p)}


def arguments(
    interpreter: Interpreter, function: FunctionInfo, dims: MappingType[str, Dims], *, method: bool
) -> tuple[Argument, ...]:
    """The arguments of a root with what is known of them."""
    return tuple(
        Argument(
            name=parameter.arg,
            span=function.module.source.span(parameter),
            annotation=ast.unparse(parameter.annotation) if parameter.annotation is not None else "",
            tensor=_is_tensor(interpreter, function, parameter),
            dynamic=dims.get(parameter.arg, {}),
        )
        for parameter in parameters(function, method=method)
    )


def has_string_annotations(function: FunctionInfo) -> bool:
    """Whether `from __future__ import annotations` makes strings of all annotations."""
    module = function.module
    return "annotations" in module.bindings and "from __future__ import annotations" in module.source.text


def dynamic_value(argument: Argument, declared: Value, *, own_symbol: bool) -> Value:
    """The abstract argument of a root: a tensor whose marked dimensions are token counts.

    `declared` is a value of the annotated type; `own_symbol` says that the dimension counts no tokens of the batch.
    """
    tensor = _token_tensor(argument, own_symbol=own_symbol)
    of_tensors = INTERMEDIATE_TENSORS.rpartition(".")[2] in argument.annotation or all(
        isinstance(o, Mapping) or o == NONE for o in options(declared)
    )
    value: Value = Mapping(None, tensor) if of_tensors else tensor
    sequence = next((o for o in options(declared) if isinstance(o, Sequence)), None)
    if sequence is not None:  # of tensors, or else nothing of it would be dynamic
        items: list[Value] | None = None if sequence.items is None else [tensor for _ in sequence.items]
        value = Sequence(sequence.kind, items, tensor)
    return choice([value, NONE]) if NONE in options(declared) else value


def _token_tensor(argument: Argument, *, own_symbol: bool) -> Tensor:
    last = max(argument.dynamic, default=0)
    flat = argument.name in _ONE_DIMENSIONAL and last <= 0
    rank = 1 if flat else last + 1 if argument.name in _ONE_DIMENSIONAL else max(2, last + 2)
    dims = [Size.static(f"{argument.name}.shape[{i}]") if i else Size.static("width") for i in range(rank)]
    dims[1:2] = [Size.static("width")] if rank > 1 else []
    for dim, shape_id in argument.dynamic.items():
        if -rank <= dim < rank:
            counts = dim % rank == 0 or flat or len(argument.dynamic) == 1
            name = TOKENS if counts and not own_symbol else f"{shape_id or argument.name}:{dim}"
            dims[dim] = Size.symbol(name)
    ids = {i for i in argument.dynamic.values() if i}
    label = f"#{min(ids)}" if ids else argument.name
    where = ", ".join(str(d) for d in argument.dynamic)
    trail = Trail(argument.span, f"`{argument.name}` enters with dimension {where} dynamic")
    # By vLLM's naming `positions` is (n,), or (3, n) with its last dimension marked.
    settled = argument.name == "positions" and min(argument.dynamic, default=-1) >= 0
    return Tensor(tuple(dims), open=not settled, trail=trail, inputs=frozenset({label}))


def _is_tensor(interpreter: Interpreter, function: FunctionInfo, parameter: ast.arg) -> bool:
    """Whether a tensor with more than one element is passed, by annotation or, without one, by use."""
    home = Frame(function.module, {})
    names = _union(interpreter, parameter.annotation, home, read_strings=True)
    if parameter.arg.endswith(_SCALAR_ENDING) or names & {"int", "float", "bool"}:
        return False
    if parameter.annotation is None:
        return parameter.arg in _TOKEN_INPUTS or parameter.arg in _operands(function)
    if names & operators.TENSOR_TYPES or INTERMEDIATE_TENSORS in names:
        return True
    return any(
        _union(interpreter, part, home, read_strings=True) & operators.TENSOR_TYPES
        for part in _items(parameter.annotation)
    )


def _union(
    interpreter: Interpreter, node: ast.expr | None, home: Frame, *, read_strings: bool = False
) -> frozenset[str]:
    """Qualified names of the types that an annotation is a union of, None left out."""
    if node is None:
        return frozenset()
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if not read_strings:
            return frozenset({_AS_STRING})
        try:
            return _union(interpreter, ast.parse(node.value, mode="eval").body, home, read_strings=True)
        except SyntaxError:
            return frozenset()
    if isinstance(node, ast.Constant) and node.value is None:
        return frozenset()
    parts = _members(node)
    if parts is None and isinstance(node, ast.Name):
        bindings = home.module.bindings.get(node.id, ())
        alias = next((b.value for b in bindings if isinstance(b, Assignment) and not b.path), None)
        parts = None if alias is None or isinstance(alias, (ast.Name, ast.Attribute)) else _members(alias)
    if parts is not None:
        return frozenset[str]().union(*(_union(interpreter, p, home, read_strings=read_strings) for p in parts))
    if isinstance(node, ast.Subscript):
        return frozenset({f"{ast.unparse(node.value)}[]"})
    return frozenset({interpreter.qualified_name(node, home)})


def _members(node: ast.expr) -> list[ast.expr] | None:
    """The members of a union, None if it is not one."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] in ("Optional", "Union"):
        return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return None


def _items(annotation: ast.expr) -> list[ast.expr]:
    """What the lists and tuples in an annotation hold."""
    parts = _members(annotation)
    if parts is not None:
        return [item for part in parts for item in _items(part)]
    if not isinstance(annotation, ast.Subscript):
        return []
    kind = ast.unparse(annotation.value).rpartition(".")[2]
    inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    return inner if kind in ("list", "List", "tuple", "Tuple", "Sequence", "Iterable") else []


def _operands(function: FunctionInfo) -> set[str]:
    """Parameters that are used as only tensors are: methods and attributes of tensors, and arithmetic with these."""
    found: set[str] = set()
    for node in ast.walk(function.node):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _TENSOR_ATTRIBUTES:
            found.add(node.value.id)
    annotated = {p.arg for p in parameters(function, method=True) if p.annotation is not None}
    for node in ast.walk(function.node):
        if isinstance(node, ast.BinOp):
            sides = {s.id for s in (node.left, node.right) if isinstance(s, ast.Name)}
            found |= sides if sides & annotated and len(sides) == 2 else set()
    return found
