"""Values that compiled code cannot read or use where somebody else made them, and numpy on what it is traced as."""

from __future__ import annotations

from vllm_lint.analyzer.calls import Call
from vllm_lint.analyzer.untraceable import MAKES_HELD
from vllm_lint.analyzer.values import Const, External, Layer, Sequence, Tensor, Value

#: Methods of numpy's functions.
_OF_FUNCTIONS = ("accumulate", "at", "outer", "reduce", "reduceat")
_WITHOUT_TENSOR = (External("builtins.object"), External("builtins.str"))


def look_at(call: Call) -> Value | None:
    """What a call outside of compiled code makes that this cannot read; None for all else, which may be reported."""
    if call.context.quiet:
        return _made(call)
    if call.name.startswith("numpy."):
        _report_numpy(call)
    return None


def _made(call: Call) -> Value | None:
    if call.name in MAKES_HELD:
        # Measured: nested tensors in another layout than the default are traced.
        return None if "layout" in call.kwargs else Layer(MAKES_HELD[call.name])
    if call.name in ("numpy.array", "numpy.asarray") and _holds_objects(call):
        return Layer("numpy.ndarray.objects")
    return None


def _holds_objects(call: Call) -> bool:
    """Whether torch has no type for the elements of an array."""
    if call.kwargs.get("dtype") in _WITHOUT_TENSOR:
        return True
    items = call.first.items if isinstance(call.first, Sequence) else None
    return bool(items) and all(isinstance(i, Const) and isinstance(i.value, str) for i in items or ())


def _report_numpy(call: Call) -> None:
    """Report methods of functions and classes of numpy, and the limits of the type of an array."""
    parts = call.name.split(".")
    if len(parts) == 3 and (parts[1] == "ndarray" or parts[2] in _OF_FUNCTIONS):
        call.report("numpy.ufunc")
    elif parts[-1] in ("finfo", "iinfo") and isinstance(call.first, Tensor):
        call.report(call.name)
