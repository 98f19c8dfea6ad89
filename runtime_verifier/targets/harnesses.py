"""Builds what a function of the user's returns: a module, its inputs, and which of their dims are dynamic."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Mapping
from typing import Any

import torch

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.targets.made_inputs import called, described, failed, varying_dims
from vllm_lint.runtime_verifier.targets.modules import find, function_module
from vllm_lint.runtime_verifier.targets.regions import Dims, Region
from vllm_lint.runtime_verifier.targets.surroundings import surroundings_of_imported

_EXPECTED = "(module, inputs) or (module, inputs, dims)"
Arguments = dict[str, Any]


def region(job: Job) -> Region:
    """The forward of the module that the harness `job.target` returns.

    The inputs are a dict by name or a tuple of arguments, or a function of the number of tokens that returns one. If
    they are given at one size, the dynamic dims are repeated or cut to make the others. Dynamic are the given dims, or
    those that support_torch_compile declares, or those that depend on the number of tokens: as the function shows, or
    dim 0 of every tensor that has as many rows as the first.

    Raises:
        TargetError: it cannot be imported, raises, or returns something else.
    """
    harness, _ = find(job)
    name = job.target
    if not callable(harness):
        raise failed(f"{name} is {described(harness)}, not a function that returns {_EXPECTED}")
    surroundings = surroundings_of_imported()
    torch.manual_seed(0)
    with surroundings.building():
        returned = called(harness, name)
    if not isinstance(returned, tuple) or len(returned) not in (2, 3):
        raise failed(f"{name}() returned {described(returned)}, not {_EXPECTED}")
    module, given, *rest = returned
    if not isinstance(module, torch.nn.Module):
        if not inspect.isfunction(module):
            raise failed(f"{name}() returned {described(module)} as the module, not a torch.nn.Module or a function")
        module = function_module(module)
    surroundings.prepare(module, has_weights=True)
    declared, unbacked = surroundings.declared(module)
    signature = inspect.signature(module.forward)
    wanted = _dims(rest[0], f"{name}()") if rest else declared
    if callable(given):
        inputs = _by_function(given, signature, f"the inputs of {name}()")
        dims = wanted or varying_dims(inputs, job.trace_size)
    else:
        at_one_size = _bound(given, signature, f"{name}()")
        dims = wanted or _rows(at_one_size)
        inputs = _resized(at_one_size, dims, name)
    at_trace_size = inputs(job.trace_size)
    if rest:
        _check(dims, at_trace_size, name)
    if not dims.keys() & at_trace_size.keys():
        raise failed(f"no input of {name}() has a size that is the number of tokens: return dims as third")
    return Region(name, module, dims, inputs, surroundings.context, unbacked)


def _bound(values: Any, signature: inspect.Signature, what: str) -> Arguments:
    """Arguments by name."""
    if isinstance(values, torch.Tensor):
        values = (values,)
    if not isinstance(values, (Mapping, tuple, list)):
        raise failed(f"{what} returned {described(values)} as inputs, not a dict or tuple of arguments or a function")
    try:
        bound = signature.bind(**values) if isinstance(values, Mapping) else signature.bind(*values)
    except TypeError as error:
        raise failed(f"the inputs that {what} returned do not fit forward{signature}: {error}") from error
    arguments: Arguments = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            raise failed(f"{what} returned more inputs than forward{signature} has names for: give them by name")
        arguments.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    return arguments


def _by_function(function: Callable[[int], Any], signature: inspect.Signature, what: str) -> Callable[[int], Arguments]:
    def inputs(n: int) -> Arguments:
        torch.manual_seed(n)
        random.seed(n)
        return copy.deepcopy(_bound(called(function, what, n), signature, f"{what} at {n} tokens"))

    return inputs


def _dims(given: Any, what: str) -> Dims:
    """Dims in the forms that vLLM's dynamic_arg_dims takes."""
    if not isinstance(given, Mapping):
        raise failed(f"{what} returned {described(given)} as dims, not a dict such as {{'x': 0, 'positions': [1]}}")
    dims: dict[str, dict[int, str | None]] = {}
    for name, value in given.items():
        items = [value] if isinstance(value, int) else value
        if not isinstance(items, (list, tuple, set, Mapping)) or not all(isinstance(item, int) for item in items):
            raise failed(f"{what} returned {value!r} as the dims of {name}, not a number or a list of them")
        dims[str(name)] = dict(items) if isinstance(items, Mapping) else dict.fromkeys(items)
    return dims


def _rows(values: Arguments) -> Dims:
    tensors = {k: v for k, v in values.items() if isinstance(v, torch.Tensor) and v.ndim}
    rows = next((t.size(0) for t in tensors.values()), 0)
    return {name: {0: None} for name, tensor in tensors.items() if tensor.size(0) == rows}


def _resized(values: Arguments, dims: Dims, harness: str) -> Callable[[int], Arguments]:
    """The values at any number of tokens: their own items along the dynamic dims, repeated or cut."""
    sizes = {
        (name, dim): values[name].size(dim)
        for name, by_dim in dims.items()
        if isinstance(values.get(name), torch.Tensor)
        for dim in by_dim
        if -values[name].ndim <= dim < values[name].ndim
    }
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name}.size({dim}) is {size}" for (name, dim), size in sizes.items())
        raise failed(f"the dynamic sizes that {harness}() gives differ ({listed}): return a function of n as inputs")

    def inputs(n: int) -> Arguments:
        made = copy.deepcopy(values)
        for name, dim in sizes:
            tensor = made[name]
            made[name] = tensor.index_select(dim, torch.arange(n, device=tensor.device) % tensor.size(dim))
        return made

    return inputs


def _check(dims: Dims, values: Arguments, harness: str) -> None:
    for name, by_dim in dims.items():
        value = values.get(name)
        if name not in values:
            raise failed(f"{harness}() returned dims for {name}, which is not among the inputs {', '.join(values)}")
        if value is None or hasattr(value, "tensors"):
            continue
        if not isinstance(value, torch.Tensor):
            raise failed(f"{harness}() returned dims for {name}, which is {described(value)} and not a tensor")
        for dim in by_dim:
            if not -value.ndim <= dim < value.ndim:
                raise failed(f"{harness}() returned dim {dim} for {name}, which has {value.ndim} dims")
