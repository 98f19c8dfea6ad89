"""What lies on the host: calls that bring values of a tensor there, and tensors that are made there.

Where nothing else is known a tensor is taken to be on the device, as the inputs, parameters and buffers of a model are.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import HostCopy, HostSync
from vllm_lint.analyzer.sizes import Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    HOST,
    HOST_DATA,
    NONE,
    TRUE,
    UNKNOWN,
    Const,
    External,
    Sequence,
    Static,
    Tensor,
    Trail,
    Unbacked,
    Value,
)

if TYPE_CHECKING:
    from vllm_lint.analyzer.torch_calls import TorchCall

#: What `torch.device("cpu")` is, and the device of a tensor that is known to be there.
CPU = Static("cpu", "device")
_DEVICE = Static("cuda", "device")

_KINDS = {
    "bool": ("bool",),
    "int": ("int", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "long", "short"),
    "float": ("float", "float16", "float32", "float64", "half", "bfloat16", "double"),
}
_DTYPES = {name: kind for kind, names in _KINDS.items() for name in names}
#: Methods that convert to the type that they are named after.
CONVERSIONS = frozenset(_DTYPES) & {"bool", "int", "long", "short", "float", "half", "bfloat16", "double"}
#: Functions whose result has a type of its own.
_RESULTS = {
    **dict.fromkeys(("argmax", "argmin", "argsort", "count_nonzero", "bincount", "searchsorted", "nonzero"), "int"),
    **dict.fromkeys(("mean", "softmax", "sigmoid", "norm", "std", "var", "rand", "randn"), "float"),
}
#: Functions that keep the kind of number.
_KEEPS = {"max", "min", "amax", "amin", "sum", "prod", "cumsum", "abs", "unique", "masked_select", "clamp", "neg"}


def dtype_named(value: Value | None) -> str:
    """The kind of number that a dtype stands for, "" where that is not known."""
    name = value.name.removeprefix("torch.") if isinstance(value, External) else ""
    return _DTYPES.get(name, "")


def result_dtype(name: str, source: str) -> str:
    """The kind of number that function `name` gives for a tensor of kind `source`."""
    if name in _RESULTS:
        return _RESULTS[name]
    if name in ("sum", "prod", "cumsum") and source == "bool":
        return "int"
    return source if name in _KEEPS else ""


def is_cpu(value: Value | None) -> bool | None:
    """Whether a device is the CPU; None for a value that is no device or not known."""
    if isinstance(value, Const) and isinstance(value.value, str):
        return value.value.partition(":")[0] == "cpu"
    return True if value == CPU else None


# Values that the host reads


def sync(
    context: Context,
    tensor: Tensor,
    node: Located,
    frame: Frame,
    form: str,
    *,
    number: str = "",
    exact: bool = True,
) -> None:
    """Report that the host needs something of a tensor that is on the device."""
    if not tensor.memory:
        context.emit(HostSync, node, frame, tensor, exact=exact, form=form, number=number)


def _trail(call: TorchCall, what: str) -> Trail:
    span = call.frame.module.source.span(call.node)
    text = f"`{call.context.text(call.node, call.frame)}` {what}"
    return call.tensor.trail.then(span, text) if call.tensor.trail else Trail(span, text)


def read_number(call: TorchCall) -> Value:
    """`item`, `int`, `float` and `bool`: a number of Python that only the data tells."""
    # Measured on a GPU: a float of Python that stays one is computed with there, an integer made of it is not.
    number = {"__int__": "int", "__bool__": "bool"}.get(call.name, call.tensor.dtype)
    sync(call.context, call.tensor, call.node, call.frame, "scalar", number=number)
    return Unbacked(number or "number", _trail(call, "reads a value out of a tensor"))


def read_list(call: TorchCall) -> Value:
    """`tolist`: a list in a list for each dimension."""
    sync(call.context, call.tensor, call.node, call.frame, "list")
    result: Value = Unbacked("int", _trail(call, "reads a value out of a tensor"))
    for _ in call.tensor.shape if call.tensor.shape is not None else "1":
        result = Sequence("list", None, result)
    return result


def data_sized(call: TorchCall, rest: tuple[Size, ...] = ()) -> Tensor:
    """`masked_select` and the like: how long the result is comes from data; `rest` are its other dimensions."""
    sync(call.context, call.tensor, call.node, call.frame, "length")
    trail = _trail(call, "has a length that comes from data")
    dtype = result_dtype(call.name.rpartition(".")[2], call.tensor.dtype)
    return Tensor((Size.static("?"), *rest), dtype, unbacked=True, memory=call.tensor.memory, trail=trail)


def positions(call: TorchCall) -> Value:
    """Where a tensor is not zero: a row for each place, or a tensor for each dimension."""
    shape, name = call.tensor.shape, call.name.rpartition(".")[2]
    if name == "where" or call.kwargs.get("as_tuple") == TRUE:
        found = replace(data_sized(call), dtype="int")
        return Sequence("tuple", None if shape is None else [found] * len(shape), found)
    rank = Size.static("?") if shape is None or call.tensor.open else Size.const(len(shape))
    return replace(data_sized(call, (rank,)), dtype="int")


def unique(call: TorchCall) -> Value:
    """`unique`, with the places of all elements among them and the counts where these are asked for."""
    is_flat = call.argument(4, "dim") == NONE
    found: Value = data_sized(call) if is_flat else call.result(None, exact=False)
    several = [found]
    if call.kwargs.get("return_inverse") == TRUE:
        several.append(call.result(call.tensor.shape if is_flat else None, dtype="int"))
    if call.kwargs.get("return_counts") == TRUE:
        several.append(replace(data_sized(call), dtype="int"))
    return Sequence("tuple", several, UNKNOWN) if len(several) > 1 else found


# Moves between host and device


def to(call: TorchCall) -> Value:
    """`x.to(...)`: another device, another type, or both, as another tensor has them or by name."""
    result = _same(call)
    for value in call.values[1:]:
        if isinstance(value, Tensor):
            return _moved(call, replace(result, dtype=value.dtype), CPU if value.memory else _DEVICE)
        if dtype_named(value) or (isinstance(value, Static) and value.label.endswith("dtype")):
            result = replace(result, dtype=dtype_named(value))
    targets = [v for v in call.values[1:] if _is_device(v)]
    return _moved(call, result, targets[0]) if targets else result


def to_cpu(call: TorchCall) -> Value:
    """`x.cpu()`."""
    return _moved(call, _same(call), CPU)


def to_device(call: TorchCall) -> Value:
    """`x.cuda()`."""
    return _moved(call, _same(call), _DEVICE)


def to_array(call: TorchCall) -> Value:
    """`x.numpy()`, which eager code can call on the CPU only: it is not what moves the values."""
    return replace(_same(call), memory=call.tensor.memory or HOST)


def pin(call: TorchCall) -> Value:
    """`x.pin_memory()`: from there a copy can be recorded."""
    return replace(_same(call), memory=HOST)


def _moved(call: TorchCall, result: Tensor, target: Value) -> Tensor:
    if is_cpu(target):
        sync(call.context, call.tensor, call.node, call.frame, "copy")
        return replace(result, memory=call.tensor.memory or HOST)
    if call.tensor.memory == HOST_DATA:
        call.context.emit(HostCopy, call.node, call.frame, call.tensor)
    return replace(result, memory="")


def _is_device(value: Value) -> bool:
    """Whether an argument of `to` is the device: neither a type nor an option."""
    if isinstance(value, Const):
        return isinstance(value.value, str)
    return isinstance(value, Static) and (value.type == "device" or "device" in value.label)


def convert(call: TorchCall) -> Value:
    """`x.float()` and its like."""
    return replace(_same(call), dtype=_DTYPES[call.name.rpartition(".")[2]])


def _same(call: TorchCall) -> Tensor:
    return call.result(call.tensor.shape, dtype=call.tensor.dtype) if not call.tensor.open else call.tensor


# Tensors that are made


def made(call: TorchCall, tensor: Value) -> Value:
    """`tensor`, which a function such as `torch.zeros` made, with what its arguments say of its type and place.

    Without a device it is on the CPU, save in the constructor of a model, which vLLM calls with the device as default.
    """
    if not isinstance(tensor, Tensor):
        return tensor
    dtype = dtype_named(call.kwargs.get("dtype")) or tensor.dtype
    if "device" not in call.kwargs and call.args and isinstance(call.args[0], Tensor):
        return tensor  # `torch.as_tensor` of a tensor leaves it where it is
    if "device" in call.kwargs:
        on_cpu = is_cpu(call.kwargs["device"]) is True
    else:
        on_cpu = not call.context.quiet or call.frame.info is None
    # Measured on a GPU: Inductor makes tensors where they are used, however the forward asks for them.
    memory = "" if not on_cpu else HOST_DATA if call.context.quiet else HOST
    return replace(tensor, dtype=dtype, memory=memory)


def from_array(call: TorchCall) -> Value:
    """`torch.from_numpy`: an array that the forward did not make is data of the host."""
    source = call.args[0] if call.args else UNKNOWN
    if isinstance(source, Tensor):
        return replace(source, memory=source.memory or HOST)
    node = call.node.args[0] if isinstance(call.node, ast.Call) and call.node.args else None
    kept = isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and node.id not in call.frame.variables)
    return Tensor(exact=False, memory=HOST_DATA if kept or call.context.quiet else HOST)
