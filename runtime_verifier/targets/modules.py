"""Builds a class or a function of the user's, with inputs made from annotations and shape hints."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import torch

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed, line_of
from vllm_lint.runtime_verifier.targets import standins
from vllm_lint.runtime_verifier.targets.importing import import_target
from vllm_lint.runtime_verifier.targets.made_inputs import HIDDEN, called, described, failed, make, varying_dims
from vllm_lint.runtime_verifier.targets.regions import Region, TargetError
from vllm_lint.runtime_verifier.targets.shapes import ShapeError, parse_shapes
from vllm_lint.runtime_verifier.targets.surroundings import surroundings_of_imported

_WRITE = "write a function that returns (module, inputs), and verify it as a harness"
_UNKNOWN = object()


def region(job: Job) -> Region:
    """The forward that `job` names.

    Dynamic are the dims that support_torch_compile declares; without it, those that depend on the number of tokens.
    Every call is made within `step(tokens)`, if the file of the target defines such a context manager.

    Raises:
        TargetError: it cannot be imported or built, or no input can be made.
    """
    found, holder = find(job)
    surroundings = surroundings_of_imported()
    with surroundings.building():
        module = _module(found, job.target)
    surroundings.prepare(module, has_weights=isinstance(found, torch.nn.Module))
    declared, unbacked = surroundings.declared(module)
    try:
        made = make(module, getattr(holder, "inputs", None), parse_shapes(job.shape), job.trace_size)
    except ShapeError as error:
        raise failed(str(error)) from error
    dims = declared or varying_dims(made.inputs, job.trace_size)
    if not dims:
        raise failed(
            f"no argument of {job.target} is a tensor whose size is the number of tokens; say which one is with a "
            "shape such as x=n,64"
        )
    step = getattr(holder, "step", None)
    return Region(job.target, module, dims, made.inputs, surroundings.context, unbacked, made.hint, step)


def find(job: Job) -> tuple[Any, ModuleType]:
    """What `job` names, and the module that it is in.

    Raises:
        TargetError: there is no such thing, or importing raises.
    """
    if job.standins or importlib.util.find_spec("vllm") is None:
        standins.install()
    try:
        holder = import_target(job.path, job.search, job.overlay)
    except Exception as error:  # user code may raise anything
        raise TargetError(EagerFailed("import", _import_error(error))) from error
    found: Any = holder
    for name in job.target.split("."):
        if not hasattr(found, name):
            near = difflib.get_close_matches(name, dir(found), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TargetError(EagerFailed("import", f"{job.path} has no {job.target}{hint}"))
        found = getattr(found, name)
    return found, holder


def _import_error(error: Exception) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and missing.partition(".")[0] == "vllm" and standins.installed():
        return f"{line_of(error)}; it needs vLLM itself: name the Python that has it with --python"
    return line_of(error)


def _module(found: Any, name: str) -> torch.nn.Module:
    if isinstance(found, torch.nn.Module):
        return found
    torch.manual_seed(0)
    if inspect.isclass(found):
        if not issubclass(found, torch.nn.Module):
            raise failed(f"{name} is a class, but not one of torch.nn.Module")
        return _built(found, name).eval()
    # What torch.compile made of a function keeps the function.
    function = inspect.unwrap(getattr(found, "_torchdynamo_orig_callable", found))
    if not inspect.isfunction(function):
        raise failed(f"{name} is {described(found)}, neither a class of torch.nn.Module nor a function")
    return function_module(function)


def function_module(function: Callable[..., Any]) -> torch.nn.Module:
    """A module whose forward is `function`."""
    cls = type(function.__name__, (torch.nn.Module,), {"forward": staticmethod(function)})
    module: torch.nn.Module = cls()
    return module


def _built(cls: type[torch.nn.Module], name: str) -> torch.nn.Module:
    arguments: dict[str, Any] = {}
    for parameter in _init_parameters(cls):
        if parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        value = _argument(parameter)
        if value is _UNKNOWN:
            raise failed(f"nothing is known of the argument `{parameter}` of {name}; {_WRITE}")
        arguments[parameter.name] = value
    return cast("torch.nn.Module", called(lambda: cls(**arguments), name))


def _init_parameters(cls: type) -> list[inspect.Parameter]:
    init = own = inspect.getattr_static(cls, "__init__")
    # vLLM's decorator keeps the class's own in its closure, and gives it a configuration by itself.
    init = inspect.getclosurevars(init).nonlocals.get("old_init", init) if inspect.isfunction(init) else init
    parameters = list(inspect.signature(init).parameters.values())[1:]
    return [p for p in parameters if init is own or p.name not in ("vllm_config", "prefix")]


def _argument(parameter: inspect.Parameter) -> Any:
    """A value by annotation and name."""
    annotation = parameter.annotation
    kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    if kind == "int":
        return 2 if re.match(r"(num|n)_|depth|layers", parameter.name) else HIDDEN
    simple = {"float": 1e-5, "bool": False, "str": ""}
    if kind in simple:
        return simple[kind]
    return None if "None" in str(annotation) or "Optional" in str(annotation) else _UNKNOWN
