"""What a block of code is given when it is an operator: names, types of the schema, and what the call passes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.index import FunctionInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.values import (
    NONE,
    Const,
    External,
    Int,
    Layer,
    Shape,
    Static,
    Tensor,
    Unbacked,
    Unknown,
    Value,
    choice,
    element_of,
    options,
    tensor_among,
)
from vllm_lint.analyzer.values import Sequence as SequenceValue
from vllm_lint.rewriter.dataflow import locals_of

TENSOR = "torch.Tensor"
_NUMBERS = ("int", "float", "bool", "str")
#: What annotations of parameters say that `infer_schema` takes as well, where nothing else tells.
_ANNOTATED = frozenset({*_NUMBERS, TENSOR, "torch.dtype", "torch.device"})

#: Layers that compute in the dtype of what they are given, which is that of their weights.
_LAYERS = (
    *(f"torch.nn.{name}" for name in ("Linear", "LayerNorm", "RMSNorm", "SiLU", "ReLU", "GELU", "Conv1d", "Identity")),
    *(f"vllm.model_executor.layers.{name}" for name in ("linear", "layernorm", "activation")),
)
_OF_TENSORS = frozenset(
    {"shape", "size", "numel", "ndim", "dim", "dtype", "device", "sum", "abs", "any", "item", "max"}
)
#: Methods that change a list.
_CHANGES = frozenset({"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"})


class Refused(Exception):
    """Why something cannot be an operator, in a few words."""


@dataclass(frozen=True)
class Parameter:
    """One argument of an operator. `given` is what the call passes, `rebuilt` what the body makes of it first."""

    name: str
    type: str
    given: str
    rebuilt: str = ""

    @property
    def is_tensor(self) -> bool:
        """Whether it is one tensor, and certain to be."""
        return self.type == TENSOR


@dataclass(frozen=True)
class Taken:
    """All that a block takes: its parameters, and the texts in it that these stand for."""

    parameters: tuple[Parameter, ...]
    replaced: tuple[tuple[ast.expr, str], ...]
    same_dtype: frozenset[str] = frozenset()
    """Modules, as the block writes them, whose results have the dtype of their argument."""
    looks_up: bool = False
    """Whether the body looks up the object that it is a method of."""


def taken_by(
    interpreter: Interpreter, info: FunctionInfo, frames: Sequence[Frame], body: list[ast.stmt], names: frozenset[str]
) -> Taken:
    """What `body` takes, of which `names` are local to the function or to one around it.

    Raises:
        Refused: something in it cannot be passed to an operator.
    """
    receiver = _receiver(info, frames)
    parameters = [
        _local(interpreter, info, frames, body, name) for name in _in_order(info, body, names) if name != receiver
    ]
    _refuse_changed_lists(body, {p.name for p in parameters if p.type.startswith("list")})
    same = frozenset(_modules_that_keep_dtypes(interpreter, frames, body))
    if receiver not in names:
        return Taken(tuple(parameters), (), same)
    chains = sorted(_chains(body, receiver), key=lambda n: (n.lineno, n.col_offset))
    taken = set(locals_of(info.node)) | {n.id for s in body for n in ast.walk(s) if isinstance(n, ast.Name)}
    attributes: dict[str, Parameter] = {}
    replaced: list[tuple[ast.expr, str]] = []
    for chain in chains:
        prefix = next((c for c in _prefixes(chain) if _passed(_value(interpreter, frames, c))), None)
        if prefix is None or not isinstance(prefix.ctx, ast.Load):
            return Taken(tuple(parameters), (), same, looks_up=True)
        text = ast.unparse(prefix)
        if text not in attributes:
            kind, rebuilt = _passed(_value(interpreter, frames, prefix)) or ("", "")
            name = _free(text.partition(".")[2].replace(".", "_").lstrip("_"), taken)
            taken.add(name)
            attributes[text] = Parameter(name, kind, text, rebuilt.format(name))
        replaced.append((prefix, attributes[text].name))
    return Taken((*parameters, *attributes.values()), tuple(replaced), same)


def attributes_used(
    interpreter: Interpreter, info: FunctionInfo, frames: Sequence[Frame], body: list[ast.stmt]
) -> Iterator[Value]:
    """The values of the attributes of its object that a block uses."""
    for chain in _chains(body, _receiver(info, frames)):
        for prefix in _prefixes(chain)[:1]:
            yield _value(interpreter, frames, prefix)


def _modules_that_keep_dtypes(interpreter: Interpreter, frames: Sequence[Frame], body: list[ast.stmt]) -> Iterator[str]:
    for node in (n for s in body for n in ast.walk(s)):
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            layers = options(_value(interpreter, frames, node.func))
            if all(isinstance(layer, Layer) and layer.name.startswith(_LAYERS) for layer in layers):
                yield ast.unparse(node.func)


def _refuse_changed_lists(body: list[ast.stmt], names: set[str]) -> None:
    """An operator gets a copy of a list, so that nobody sees what it does to it."""
    for node in (n for s in body for n in ast.walk(s)):
        changed: ast.expr | None = None
        is_method = isinstance(node, ast.Attribute) and node.attr in _CHANGES
        is_item = isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)
        if isinstance(node, (ast.Attribute, ast.Subscript)) and (is_method or is_item):
            changed = node.value
        elif isinstance(node, ast.AugAssign):
            changed = node.target
        if isinstance(changed, ast.Name) and changed.id in names:
            raise Refused(f"it changes the list `{changed.id}`, of which an operator gets a copy")


def _receiver(info: FunctionInfo, frames: Sequence[Frame]) -> str:
    """How the function calls the object that it is a method of; empty if it is none."""
    arguments = [*info.node.args.posonlyargs, *info.node.args.args]
    is_method = all(f.receiver is not None for f in frames)
    return arguments[0].arg if is_method and arguments else ""


def _in_order(info: FunctionInfo, body: list[ast.stmt], names: frozenset[str]) -> list[str]:
    """Parameters of the function first, then by where the block reads them."""
    arguments = info.node.args
    own = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    reads = [n for s in body for n in ast.walk(s) if isinstance(n, ast.Name)]
    reads.sort(key=lambda n: (n.lineno, n.col_offset))
    return [n for n in dict.fromkeys([*own, *(n.id for n in reads)]) if n in names]


def _is_used_as_tensor(body: list[ast.stmt], name: str) -> bool:
    """Whether a block asks a variable for what only tensors have, and so nothing else than a tensor gets that far."""
    return any(
        isinstance(n, ast.Attribute) and n.attr in _OF_TENSORS and isinstance(n.value, ast.Name) and n.value.id == name
        for s in body[:1]
        for n in ast.walk(s)
    )


def _local(
    interpreter: Interpreter, info: FunctionInfo, frames: Sequence[Frame], body: list[ast.stmt], name: str
) -> Parameter:
    values = [interpreter.lookup(name, frame) for frame in frames]
    if any(isinstance(v, Unknown) and v.reason == f"name {name}" for v in values):
        raise Refused(f"`{name}` may not be bound where the block begins")
    value = choice(values)
    found = (TENSOR, "") if _is_used_as_tensor(body, name) and tensor_among(value) is not None else _passed(value)
    found = found or _annotated(info, name)
    if found is None:
        raise Refused(f"`{name}` is {_described(value)}, which cannot be passed to an operator")
    kind, rebuilt = found
    return Parameter(name, kind, name, rebuilt.format(name))


def _annotated(info: FunctionInfo, name: str) -> tuple[str, str] | None:
    arguments = info.node.args
    if name in info.bound_names:
        return None
    for parameter in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if parameter.arg == name and parameter.annotation is not None:
            text = ast.unparse(parameter.annotation).strip("'\"")
            head, _, inner = text.removesuffix("]").partition("Optional[")
            if inner and head in ("", "typing."):
                text = f"{inner} | None"
            return (text, "") if text.removesuffix(" | None") in _ANNOTATED else None
    return None


def _passed(value: Value) -> tuple[str, str] | None:
    """The type of a parameter that takes `value`, and what the body has to make of it; None if there is none."""
    kinds = {_kind(option) for option in options(value) if option != NONE}
    if len(kinds) != 1:
        return None
    (found,) = kinds
    if found is None:
        return None
    kind, rebuilt = found
    if NONE in options(value):
        return None if rebuilt or "[" in kind else (f"{kind} | None", "")
    return kind, rebuilt


def _kind(value: Value) -> tuple[str, str] | None:
    if isinstance(value, Tensor):
        return TENSOR, ""
    if isinstance(value, Int) or (isinstance(value, Unbacked) and value.type == "int"):
        return "int", ""
    if isinstance(value, Const):
        kind = type(value.value).__name__
        return (kind, "") if kind in _NUMBERS else None
    if isinstance(value, Static):
        if value.label in ("tensor.dtype", "tensor.device"):
            return f"torch.{value.label.partition('.')[2]}", ""
        return (value.type, "") if value.type in _NUMBERS else None
    if isinstance(value, External):
        return ("torch.dtype", "") if value.name.startswith("torch.") and _is_dtype(value.name) else None
    if isinstance(value, Shape):
        return "list[int]", "{0} = torch.Size({0})"
    if isinstance(value, SequenceValue) and value.kind in ("list", "tuple"):
        inner = _passed(element_of(value))
        if inner is None or inner[1] or inner[0] not in (*_NUMBERS, TENSOR):
            return None
        return f"list[{inner[0]}]", "{0} = tuple({0})" if value.kind == "tuple" else ""
    return None


def _is_dtype(name: str) -> bool:
    return name.rpartition(".")[2].startswith(("float", "bfloat", "half", "int", "uint", "bool", "double", "long"))


def _described(value: Value) -> str:
    kind = type(options(value)[0]).__name__ if len(options(value)) == 1 else "Choice"
    words = {
        "Bool": "a decision on sizes",
        "Float": "computed from sizes",
        "Unbacked": "read out of a tensor",
        "Instance": "an object",
        "Layer": "a module",
        "Mapping": "a dict",
        "Function": "a function",
        "Choice": "of one type or another",
    }
    return words.get(kind, "of a type that cannot be told")


def _value(interpreter: Interpreter, frames: Sequence[Frame], node: ast.expr) -> Value:
    with interpreter.silently():
        return choice([interpreter.evaluate(node, frame.fork()) for frame in frames])


def _chains(body: list[ast.stmt], receiver: str) -> Iterator[ast.expr]:
    """The longest attribute chains on `receiver`, and `receiver` itself where it stands alone."""
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Attribute, ast.Name)) and _head(node) == receiver:
            yield node
        else:
            stack.extend(ast.iter_child_nodes(node))


def _head(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _prefixes(chain: ast.expr) -> list[ast.Attribute]:
    """`self.a`, `self.a.b` of `self.a.b`."""
    found: list[ast.Attribute] = []
    while isinstance(chain, ast.Attribute):
        found.insert(0, chain)
        chain = chain.value
    return found


def _free(wanted: str, taken: set[str]) -> str:
    name, count = wanted, 2
    while name in taken:
        name, count = f"{wanted}_{count}", count + 1
    return name
