"""Stand-ins for the few vLLM names that model code imports, so that a model can be captured without vLLM.

`install` puts them into `sys.modules`. The dims that the decorator declares follow vLLM's rules (0.24 to 0.33,
vllm/compilation/decorators.py); a test compares them with the real decorator.
"""

from __future__ import annotations

import inspect
import logging
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from vllm_lint.runtime_verifier.targets.regions import Dims

DIMS_ATTRIBUTE = "_vllm_lint_dims"
IGNORE_ATTRIBUTE = "_vllm_lint_ignored"


class IntermediateTensors:
    """Named tensors that one pipeline stage hands to the next, as `vllm.sequence.IntermediateTensors`."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def __getitem__(self, key: str) -> torch.Tensor:
        return self.tensors[key]

    def __setitem__(self, key: str, value: torch.Tensor) -> None:
        self.tensors[key] = value

    def items(self) -> Any:
        """Pairs of name and tensor."""
        return self.tensors.items()


def declared_dims(cls: type, dynamic_arg_dims: Mapping[str, Any] | None) -> Dims:
    """The dims that vLLM marks for `cls.forward`: those given, or else dim 0 of every recognised annotation.

    Raises:
        ValueError: no argument is dynamic, or a given name is not an argument.
    """
    parameters = inspect.signature(cls.forward).parameters  # type: ignore[attr-defined]
    if dynamic_arg_dims is None:
        recognised = [t for base in _ANNOTATIONS for t in (base, base | None)]
        dynamic_arg_dims = {k: 0 for k, p in parameters.items() if p.annotation in recognised}
    if not dynamic_arg_dims:
        raise ValueError(f"No dynamic dimensions found in the forward method of {cls}.")
    for name in dynamic_arg_dims:
        if name not in parameters:
            raise ValueError(f"Argument {name} not found in the forward method of {cls}")
    return normalised_dims(dynamic_arg_dims)


def normalised_dims(dynamic_arg_dims: Mapping[str, int | list[int] | dict[int, str]]) -> Dims:
    """The argument of that name in the one form that says everything."""
    return {name: _normalised(dims) for name, dims in dynamic_arg_dims.items()}


_ANNOTATIONS: tuple[Any, ...] = (torch.Tensor, torch.FloatTensor, IntermediateTensors)


def _normalised(dims: int | list[int] | dict[int, str]) -> dict[int, str | None]:
    if isinstance(dims, int):
        return {dims: None}
    return dict(dims) if isinstance(dims, dict) else dict.fromkeys(dims)


def support_torch_compile(
    cls: type | None = None,
    *,
    dynamic_arg_dims: Mapping[str, Any] | None = None,
    mark_unbacked_dims: Mapping[str, Any] | None = None,
    enable_if: Callable[[Any], bool] | None = None,
    is_encoder: bool = False,
) -> Any:
    """Remember on the class which dims vLLM would mark; the class itself stays as it is."""

    def decorate(cls: type) -> type:
        setattr(cls, DIMS_ATTRIBUTE, declared_dims(cls, dynamic_arg_dims))
        setattr(cls, IGNORE_ATTRIBUTE, False)
        return cls

    return decorate if cls is None else decorate(cls)


def ignore_torch_compile(cls: type) -> type:
    """Undo an inherited `support_torch_compile`."""
    setattr(cls, IGNORE_ATTRIBUTE, True)
    return cls


class ForwardContext:
    """What a step hands to layers beside the arguments, as `vllm.forward_context.ForwardContext`."""

    def __init__(self, attn_metadata: Any = None, **values: Any) -> None:
        self.attn_metadata = attn_metadata
        self.__dict__.update(values)


_forward_context: ForwardContext | None = None


def get_forward_context() -> ForwardContext:
    """The context that `set_forward_context` entered last."""
    assert _forward_context is not None, "no forward context is set"
    return _forward_context


@contextmanager
def set_forward_context(attn_metadata: Any, vllm_config: Any = None, **values: Any) -> Iterator[None]:
    """Enter a forward context."""
    global _forward_context
    previous, _forward_context = _forward_context, ForwardContext(attn_metadata, **values)
    try:
        yield
    finally:
        _forward_context = previous


def init_logger(name: str) -> logging.Logger:
    """A logger with vLLM's `info_once` and `warning_once`, bound methods as there."""
    logger = logging.getLogger(name)
    for level in ("debug", "info", "warning"):
        method = types.MethodType(getattr(logging.Logger, level), logger)
        setattr(logger, f"{level}_once", method)
    return logger


_library: torch.library.Library | None = None


def direct_register_custom_op(
    op_name: str,
    op_func: Callable[..., Any],
    mutates_args: list[str] | None = None,
    fake_impl: Callable[..., Any] | None = None,
    target_lib: torch.library.Library | None = None,
    dispatch_key: str | None = None,
    tags: tuple[torch.Tag, ...] = (),
) -> None:
    """Register an operator as `vllm.utils.torch_utils.direct_register_custom_op` does, for the CPU."""
    global _library
    if target_lib is None:
        target_lib = _library = _library or torch.library.Library("vllm", "FRAGMENT")
    schema = torch.library.infer_schema(op_func, mutates_args=mutates_args or [])
    target_lib.define(op_name + schema, tags=tags)
    target_lib.impl(op_name, op_func, dispatch_key=dispatch_key or "CPU")
    if fake_impl is not None:
        target_lib._register_fake(op_name, fake_impl)


_MODULES: dict[str, dict[str, Any]] = {
    "vllm": {},
    "vllm.compilation": {},
    "vllm.compilation.decorators": {
        "support_torch_compile": support_torch_compile,
        "ignore_torch_compile": ignore_torch_compile,
    },
    "vllm.forward_context": {
        "ForwardContext": ForwardContext,
        "get_forward_context": get_forward_context,
        "set_forward_context": set_forward_context,
        "is_forward_context_available": lambda: _forward_context is not None,
    },
    "vllm.logger": {"init_logger": init_logger},
    "vllm.utils": {},
    "vllm.utils.torch_utils": {"direct_register_custom_op": direct_register_custom_op},
    "vllm.sequence": {"IntermediateTensors": IntermediateTensors},
}


def installed() -> bool:
    """Whether the stand-ins are what `import vllm` gives."""
    decorators = sys.modules.get("vllm.compilation.decorators")
    return getattr(decorators, "support_torch_compile", None) is support_torch_compile


def install() -> None:
    """Make the stand-ins importable, in front of an installed vLLM."""
    for name, content in _MODULES.items():
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__.update(content)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
