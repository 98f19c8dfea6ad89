"""Makes the inputs of a forward from its signature, from shape hints, or by a function of the user's."""

from __future__ import annotations

import copy
import inspect
import random
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any

import torch

from vllm_lint.runtime_verifier.outcomes import EagerFailed, line_of
from vllm_lint.runtime_verifier.targets.regions import Dims, TargetError
from vllm_lint.runtime_verifier.targets.shapes import Shape

#: Width of the inputs of a module that does not tell its own.
HIDDEN = 8
#: Numbers that index something are below this where the module does not say more.
INDICES = 8
_POSITIONS = re.compile(r"position(s|_ids?)?|pos|cache_position")
_INDEX = re.compile(r"(\w+_)?(ids?|idx|index|indices|tokens|labels|lens?|lengths?|slots?|slot_mapping)")
_MASK = re.compile(r"(\w+_)?masks?|is_\w+")
_WIDTHS = ("in_features", "input_size", "normalized_shape", "embedding_dim", "hidden_size", "in_channels")

Inputs = Callable[[int], dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """Inputs for any number of tokens, and a shape hint that says which of them were made up."""

    inputs: Inputs
    hint: str


def make(module: torch.nn.Module, given: Callable[[int], Any] | None, hints: Mapping[str, Shape], tokens: int) -> Made:
    """Inputs of `module.forward`: what `given` returns for the names in its signature, and made up for the others.

    Raises:
        TargetError: an argument without default is no tensor, a hint names no argument, or `given` does not work.
    """
    parameters = _parameters(module)
    unknown = [name for name in hints if name not in parameters]
    if unknown:
        raise failed(f"forward({', '.join(parameters)}) has no argument {unknown[0]!r}, of which a shape is given")
    known = _given(given, parameters, tokens)
    rest = [p for p in parameters.values() if p.name not in known and (p.name in hints or p.default is p.empty)]
    annotations = _annotations(module)
    shapes: dict[str, Shape] = {}
    values: dict[str, Any] = {}
    for parameter in rest:
        name, annotation = parameter.name, annotations.get(parameter.name, parameter.annotation)
        if name in hints:
            shapes[name] = _typed(name, hints[name])
        elif is_tensor(annotation):
            shapes[name] = _shape(name, module)
        else:
            values[name] = _value(name, annotation, module)
    bound = _index_bound(module)

    def inputs(n: int) -> dict[str, Any]:
        torch.manual_seed(n)
        random.seed(n)
        made = _given(given, parameters, n)
        made |= {name: _tensor(name, shape, n, bound) for name, shape in shapes.items()}
        return copy.deepcopy({**made, **{k: v(n) if callable(v) else v for k, v in values.items()}})

    return Made(inputs, " ".join(f"{name}={shape}" for name, shape in shapes.items()))


def _given(given: Callable[[int], Any] | None, parameters: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    if given is None:
        return {}
    values = called(given, "inputs", tokens)
    if not isinstance(values, Mapping):
        raise failed(f"inputs({tokens}) returns {described(values)}, not a dict of arguments by name")
    # Some names may be there for other cases of the same file.
    return {k: v for k, v in values.items() if k in parameters}


def varying_dims(inputs: Inputs, tokens: int) -> Dims:
    """The dims of tensors whose size changes when `tokens` doubles."""
    few, more = inputs(tokens), inputs(2 * tokens)
    dims: dict[str, dict[int, str | None]] = {}
    for name, value in few.items():
        other = more.get(name)
        if isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor) and value.ndim == other.ndim:
            changed = [d for d in range(value.ndim) if value.size(d) != other.size(d)]
            if changed:
                dims[name] = dict.fromkeys(changed)
    return dims


def _parameters(module: torch.nn.Module) -> dict[str, inspect.Parameter]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name: p for p in inspect.signature(module.forward).parameters.values() if p.kind not in variadic}


def _annotations(module: torch.nn.Module) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(module.forward)
    except Exception:  # noqa: BLE001 - names for type checkers only are common; the text of an annotation does as well
        return {}


def is_tensor(annotation: Any) -> bool:
    """Whether an argument annotated so can be a tensor; one without annotation is taken for one."""
    if annotation is inspect.Parameter.empty:
        return True
    if isinstance(annotation, str):
        return re.fullmatch(r"(Optional\[)?(torch\.)?\w*Tensor\]?( *\| *None)?", annotation) is not None
    if typing.get_origin(annotation) in (typing.Union, UnionType):
        return any(map(is_tensor, typing.get_args(annotation)))
    return getattr(annotation, "__name__", "").endswith("Tensor")


def _typed(name: str, shape: Shape) -> Shape:
    return shape if shape.dtype else Shape(shape.dims, _dtype(name))


def _dtype(name: str) -> str:
    if _POSITIONS.fullmatch(name) or _INDEX.fullmatch(name):
        return "int64"
    return "bool" if _MASK.fullmatch(name) else "float32"


def _shape(name: str, module: torch.nn.Module) -> Shape:
    dtype = _dtype(name)
    return Shape((None,) if dtype != "float32" else (None, _width(module)), dtype)


def _width(module: torch.nn.Module) -> int:
    for part in module.modules():
        for attribute in _WIDTHS:
            value = getattr(part, attribute, None)
            value = value[-1] if isinstance(value, (tuple, list)) and value else value
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return HIDDEN


def _index_bound(module: torch.nn.Module) -> int:
    counts = [m.num_embeddings for m in module.modules() if isinstance(getattr(m, "num_embeddings", None), int)]
    return min([count for count in counts if count > 0], default=INDICES)


def _tensor(name: str, shape: Shape, tokens: int, bound: int) -> torch.Tensor:
    sizes = shape.at(tokens)
    dtype: torch.dtype = getattr(torch, shape.dtype)
    if dtype == torch.bool:
        return torch.rand(sizes) < 0.5
    if dtype.is_floating_point:
        return torch.randn(sizes).to(dtype)
    if _POSITIONS.fullmatch(name) and None in shape.dims:
        along = [tokens if size is None else 1 for size in shape.dims]
        if along.count(1) >= len(along) - 1:
            return torch.arange(tokens).reshape(along).expand(sizes).contiguous().to(dtype)
    return torch.randint(0, bound, sizes).to(dtype)


def _value(name: str, annotation: Any, module: torch.nn.Module) -> Any:
    """Something for an argument that is no tensor, or a function of the number of tokens that makes it."""
    kind = getattr(annotation, "__name__", str(annotation))
    if _optional(annotation):
        return None
    if "IntermediateTensors" in kind and not isinstance(annotation, str):
        width = _width(module)
        return lambda n: annotation({key: torch.randn(n, width) for key in ("hidden_states", "residual")})
    plain = {"int": 1, "float": 1.0, "bool": False, "str": ""}
    if kind in plain:
        return plain[kind]
    raise failed(
        f"nothing is known of the argument `{name}: {kind}` of forward; write `def inputs(n)` beside it that returns "
        "its arguments for n tokens, or a harness"
    )


def _optional(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return "None" in annotation or annotation.startswith("Optional")
    return type(None) in typing.get_args(annotation)


def failed(message: str) -> TargetError:
    """An error that says why a target cannot be built."""
    return TargetError(EagerFailed("build", message))


def described(value: Any) -> str:
    """What a value is, for somebody who expected something else: `a tuple of 2 (Tensor, int)`."""
    kind = type(value).__name__
    if isinstance(value, (tuple, list)):
        return f"a {kind} of {len(value)} ({', '.join(type(v).__name__ for v in value[:4])})"
    return "nothing" if value is None else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def called(function: Callable[..., Any], name: str, *arguments: Any) -> Any:
    """What a function of the user's returns.

    Raises:
        TargetError: it raises.
    """
    try:
        return function(*arguments)
    except Exception as error:  # user code may raise anything
        raise failed(f"{name}({', '.join(map(str, arguments))}) raises {line_of(error)}") from error
