"""What is known about particular names of torch, vLLM and the standard library, beside reading their source.

Each entry exists because the source says less than the name: state that other functions set, dispatch through
registries, or communication between ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from vllm_lint.analyzer import builtin_calls, torch_calls, untraceable
from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import LibraryCall
from vllm_lint.analyzer.sizes import Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    FALSE,
    NONE,
    UNKNOWN,
    Const,
    Layer,
    Mapping,
    Partial,
    Sequence,
    Static,
    Tensor,
    Unknown,
    Value,
    choice,
    element_of,
    is_static,
    tainted,
    trail_of,
)

Handler: TypeAlias = Callable[[Context, list[Value], dict[str, Value], Located, Frame], Value]

#: Names whose value their definition does not give.
GLOBALS: dict[str, Value] = {
    "typing.TYPE_CHECKING": FALSE,
    "vllm.envs": Static("vllm.envs"),
    "vllm.platforms.current_platform": Static("current_platform"),
}


def _logger(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    return Layer("logging.Logger")


def _forward_context(
    context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    """The forward context is set anew for each step: nothing is known of it."""
    return Unknown("the forward context")


def _first_argument(
    context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    return args[0] if args else next(iter(kwargs.values()), UNKNOWN)


def _all_gather(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    return _scaled(args, kwargs, lambda size, ranks: size * ranks)


def _reduce_scatter(
    context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    return _scaled(args, kwargs, lambda size, ranks: size // ranks)


def _scaled(args: list[Value], kwargs: dict[str, Value], scale: Callable[[Size, Size], Size]) -> Value:
    """A tensor whose dimension `dim` grows or shrinks with the number of ranks."""
    tensor = args[0] if args else kwargs.get("input_", UNKNOWN)
    dim = kwargs.get("dim", args[1] if len(args) > 1 else Const(-1))
    if (
        not isinstance(tensor, Tensor)
        or not tensor.shape
        or not isinstance(dim, Const)
        or not isinstance(dim.value, int)
    ):
        return Tensor(exact=False)
    axis = dim.value % len(tensor.shape)
    size = scale(tensor.shape[axis], Size.static("world_size"))
    return Tensor(
        (*tensor.shape[:axis], size, *tensor.shape[axis + 1 :]),
        exact=tensor.exact,
        trail=tensor.trail,
        inputs=tensor.inputs,
    )


def _make_layers(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    """`vllm.model_executor.models.utils.make_layers`: one layer stands for all."""
    function = args[1] if len(args) > 1 else kwargs.get("layer_fn", UNKNOWN)
    layer = context.call(function, [], {"prefix": Static("prefix", "str")}, node, frame)
    bounds: list[Value] = [Static("start_layer", "int"), Static("end_layer", "int")]
    return Sequence("tuple", [*bounds, Sequence("list", None, layer)], UNKNOWN)


def _missing_layer(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    """A layer of another pipeline rank is never called."""
    return NONE


def _nothing(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    return NONE


#: Functions and classes of the program that are not followed.
CALLS: dict[str, Handler] = {
    "vllm.logger.init_logger": _logger,
    "vllm.forward_context.get_forward_context": _forward_context,
    "vllm.distributed.communication_op.tensor_model_parallel_all_reduce": _first_argument,
    "vllm.distributed.communication_op.tensor_model_parallel_all_gather": _all_gather,
    "vllm.distributed.communication_op.tensor_model_parallel_reduce_scatter": _reduce_scatter,
    "vllm.model_executor.models.utils.make_layers": _make_layers,
    "vllm.model_executor.models.utils.PPMissingLayer": _missing_layer,
    "vllm.model_executor.layers.utils.PPMissingLayer": _missing_layer,
    "vllm.utils.torch_utils.direct_register_custom_op": _nothing,
}


# Libraries


def call_external(
    context: Context, name: str, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    """Call something that is not part of the program."""
    if name in CALLS:  # vLLM itself is not at hand
        return CALLS[name](context, args, kwargs, node, frame)
    if name.startswith("builtins."):
        return builtin_calls.call_builtin(context, name.removeprefix("builtins."), args, kwargs, node, frame)
    if name.startswith("math."):
        return builtin_calls.call_builtin(context, name, args, kwargs, node, frame)
    known = untraceable.reason(name)
    if known is not None:
        values = [*args, *kwargs.values()]
        context.emit(
            LibraryCall,
            node,
            frame,
            *[v for v in values if trail_of(v)][:1],
            name=name,
            tensor=any(isinstance(v, Tensor) for v in values),
            token=any(tainted(v) for v in values),
        )
    handler = _LIBRARY.get(name)
    if handler is not None:
        return handler(context, args, kwargs, node, frame)
    if name.startswith("torch.ops."):
        return Unknown("a custom operator")
    if name.startswith("torch."):
        return torch_calls.call_torch(context, name.removeprefix("torch."), args, kwargs, node, frame)
    values = [*args, *kwargs.values()]
    if all(is_static(v) for v in values):
        return Static(f"{name}()")
    if not context.quiet:
        context.unresolved.add(f"{frame.module.source.name}:{node.lineno}: {name}")
    return Unknown(name, tainted=any(tainted(v) for v in values))


def _partial(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    return Partial(args[0], tuple(args[1:]), tuple(kwargs.items())) if args else UNKNOWN


def _elements(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    """`itertools.islice` and the like: some of the elements."""
    return Sequence("generator", None, choice(element_of(context.as_sequence(a)) for a in args[:1]))


def _chain(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    return Sequence("generator", None, choice(element_of(context.as_sequence(a)) for a in args))


def _second_argument(
    context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    return args[1] if len(args) > 1 else UNKNOWN


def _empty_mapping(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    return Mapping(None, UNKNOWN)


def _reduce(context: Context, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
    if len(args) < 2:
        return UNKNOWN
    sequence = context.as_sequence(args[1])
    items = sequence.items if sequence.items is not None else [element_of(sequence)] * 2
    items = [*args[2:3], *items]
    if not items:
        return UNKNOWN
    result = items[0]
    for item in items[1:]:
        result = context.call(args[0], [result, item], {}, node, frame)
    return result


_LIBRARY: dict[str, Handler] = {
    "logging.getLogger": _logger,
    "functools.partial": _partial,
    "functools.reduce": _reduce,
    "functools.lru_cache": _first_argument,
    "functools.cache": _first_argument,
    "itertools.islice": _elements,
    "itertools.chain": _chain,
    "typing.cast": _second_argument,
    "dataclasses.field": _nothing,
    "copy.copy": _first_argument,
    "collections.defaultdict": _empty_mapping,
    "collections.OrderedDict": _empty_mapping,
    "torch.distributed.all_reduce": _nothing,
    "vllm.logger.init_logger": _logger,
}
