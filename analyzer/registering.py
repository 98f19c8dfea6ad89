"""What is told of a custom operator while code is interpreted: its definition, implementations and fake one.

An operator may be described by several calls. They become events here, and `registrations` puts them together.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from vllm_lint.analyzer.calls import Call, Handler
from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import RegionEvent
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import NONE, UNKNOWN, External, Function, Layer, Partial, Value

LIBRARY = "torch.library.Library"
DIRECT = "vllm.utils.torch_utils.direct_register_custom_op"

#: Parameters of the calls by which operators are registered, in order; `func` is what a decorator is applied to.
PARAMETERS: dict[str, tuple[str, ...]] = {
    DIRECT: ("op_name", "op_func", "mutates_args", "fake_impl", "target_lib", "dispatch_key", "tags"),
    "torch.library.custom_op": ("name", "func"),
    "torch.library.triton_op": ("name", "func"),
    "torch.library.define": ("name", "schema"),
    "torch.library.impl": ("name", "key", "func"),
    "torch.library.register_kernel": ("name", "key", "func"),
    "torch.library.register_fake": ("name", "func"),
    "torch.library.impl_abstract": ("name", "func"),
    f"{LIBRARY}.define": ("schema",),
    f"{LIBRARY}.impl": ("name", "func", "key"),
    f"{LIBRARY}._register_fake": ("name", "func"),
    "operator.register_fake": ("func",),
    "operator.register_kernel": ("key", "func"),
}
_OF_OPERATORS = ("register_fake", "register_kernel")


@dataclass(frozen=True, kw_only=True)
class Registering(RegionEvent):
    """One call, or use as a decorator, of a key of `PARAMETERS`; `target` is the library or operator it is made on."""

    form: str
    arguments: dict[str, Value]
    target: Value


def register(call: Call) -> Value:
    """A call of one of the functions; without the function it gives a decorator."""
    form, parameters = call.name, PARAMETERS[call.name]
    if len(call.args) > len(parameters):
        return call.plain()  # so it is not that function
    given = {**dict(zip(parameters, call.args, strict=False)), **call.kwargs}
    given["func"] = given.pop("fn", given.get("func", UNKNOWN))
    if "func" in parameters and given["func"] in (UNKNOWN, NONE):
        return Partial(External(form), tuple(call.args), tuple((k, v) for k, v in call.kwargs.items()))
    _tell(call.context, form, given, UNKNOWN, call.node, call.frame)
    return given["func"]


def on_library(call: Call, library: Layer) -> Value:
    """A method of a `torch.library.Library`."""
    form = f"{LIBRARY}.{call.name}"
    if form in PARAMETERS:
        given = {**dict(zip(PARAMETERS[form], call.args, strict=False)), **call.kwargs}
        given["func"] = given.pop("fn", given.get("func", UNKNOWN))
        given["key"] = given.pop("dispatch_key", given.get("key", UNKNOWN))
        _tell(call.context, form, given, library, call.node, call.frame)
    return NONE


def on_operator(call: Call, operator: Value) -> Value:
    """`operator.register_fake(function)` and the like, on what `custom_op` gave."""
    if call.name in _OF_OPERATORS and call.args:
        form = f"operator.{call.name}"
        _tell(call.context, form, dict(zip(PARAMETERS[form], call.args, strict=False)), operator, call.node, call.frame)
    return call.args[-1] if call.args else UNKNOWN


def decorate(context: Context, function: Function, decorator: ast.expr, name: str, frame: Frame) -> None:
    """Note what a decorator called `name` says of the operator that `function` belongs to."""
    head = decorator.func if isinstance(decorator, ast.Call) else decorator
    target: Value = UNKNOWN
    form = _form(context, head, name, frame)
    if form is None:
        return
    with context.silently():
        if form.startswith("operator.") and isinstance(head, ast.Attribute):
            target = context.evaluate(head.value, frame)
        positional = [context.evaluate(a, frame) for a in getattr(decorator, "args", [])]
        given = dict(zip(PARAMETERS[form], positional, strict=False))
        for keyword in getattr(decorator, "keywords", []):
            if keyword.arg is not None:
                given[keyword.arg] = context.evaluate(keyword.value, frame)
    _tell(context, form, {**given, "func": function}, target, decorator, frame)


def _form(context: Context, head: ast.expr, name: str, frame: Frame) -> str | None:
    if name in PARAMETERS:
        return name
    if isinstance(head, ast.Attribute):
        return f"operator.{head.attr}" if head.attr in _OF_OPERATORS else None
    with context.silently():
        value = context.evaluate(head, frame)
    # A module that can do without torch's function defines one of its own in the place of it.
    named = {o.name for o in getattr(value, "options", ()) if isinstance(o, External)}
    return next(iter(sorted(named & PARAMETERS.keys())), None)


def _tell(context: Context, form: str, given: dict[str, Value], target: Value, node: Located, frame: Frame) -> None:
    context.emit(Registering, node, frame, form=form, arguments=given, target=target)


#: Functions of libraries by name; vLLM's is also found as a function of the program.
HANDLERS: dict[str, Handler] = {
    **{name: register for name in PARAMETERS if name.startswith("torch.library.") and not name.startswith(LIBRARY)},
    LIBRARY: lambda call: Layer(LIBRARY, tuple(call.args), tuple(call.kwargs.items())),
    DIRECT: register,
}
