"""Calls of Python's built-in functions, of `math`, and of methods of built-in kinds of values."""

from __future__ import annotations

import ast
import builtins
from dataclasses import replace

from vllm_lint.analyzer import decisions, operators, registering, state, torch_calls, untraceable
from vllm_lint.analyzer.calls import Call, Handler
from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import LibraryCall
from vllm_lint.analyzer.sizes import Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    NONE,
    UNKNOWN,
    Bool,
    Choice,
    Class,
    Const,
    Float,
    Function,
    Instance,
    Int,
    Layer,
    Mapping,
    Method,
    Parent,
    Partial,
    Sequence,
    Shape,
    Static,
    Tensor,
    Unbacked,
    Unknown,
    Value,
    as_size,
    choice,
    element_of,
    inputs_of,
    integer,
    is_static,
    options,
    tainted,
    trail_of,
)

#: Methods of strings that are worked out where all is known, and how many arguments they may have.
_TEXT_METHODS = {"upper": 0, "lower": 0, "strip": 1, "startswith": 1, "endswith": 1, "removeprefix": 1}

NAMES = frozenset(dir(builtins))


def call_builtin(
    context: Context, name: str, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    """Call `builtins.<name>` or `math.<name>`."""
    call = Call(context, name, args, kwargs, node, frame)
    handler = _BUILTINS.get(name)
    if handler is None:
        return call.plain()
    if args and isinstance(args[0], Choice) and name in _DISTRIBUTED:
        return choice(call_builtin(context, name, [o, *args[1:]], kwargs, node, frame) for o in args[0].options)
    return handler(call)


# Conversions


def _len(call: Call) -> Value:
    value = call.first
    if isinstance(value, Tensor):
        return operators.dimension(call.context, value, 0, call.node, call.frame)  # type: ignore[arg-type]
    if isinstance(value, Sequence):
        return Const(len(value.items)) if value.items is not None else Static("len", "int")
    if isinstance(value, Mapping) and value.items is not None:
        return Const(len(value.items))
    if isinstance(value, Shape) and value.tensor.shape is not None and not value.tensor.open:
        return Const(len(value.tensor.shape))
    if isinstance(value, Const) and isinstance(value.value, str):
        return Const(len(value.value))
    return Static("len", "int") if not tainted(value) or isinstance(value, Shape) else call.plain()


def _int(call: Call) -> Value:
    value = call.first
    if isinstance(value, Tensor):
        return torch_calls.call_tensor_method(call.context, value, "__int__", [], {}, call.node, call.frame)
    if isinstance(value, Bool) and value.condition.depends:
        decisions.emit_size(call.context, call.node, call.frame, value, f"{call.name}()")
        return Static("int", "int")
    if isinstance(value, Float):
        is_negative = value.size.known and value.size.evaluate(2) < 0  # which is rounded up, not down
        return integer(Size.about(value.size) if is_negative else value.size, value.trail)
    if isinstance(value, Const):
        try:
            return Const(int(value.value))  # type: ignore[call-overload]
        except (TypeError, ValueError, OverflowError):
            return UNKNOWN
    if isinstance(value, Static):
        return Static(value.label, "int")
    return value


def _float(call: Call) -> Value:
    value = call.first
    if isinstance(value, Tensor):
        return torch_calls.call_tensor_method(call.context, value, "__float__", [], {}, call.node, call.frame)
    size = as_size(value)
    if size is not None and size.depends:
        return Float(size, trail_of(value))
    if isinstance(value, Const) and isinstance(value.value, (int, float)):
        return Const(float(value.value))
    return value if isinstance(value, (Float, Unbacked, Unknown)) else Static("float", "float")


def _bool(call: Call) -> Value:
    if isinstance(call.first, Tensor):
        return torch_calls.call_tensor_method(call.context, call.first, "__bool__", [], {}, call.node, call.frame)
    truth = call.context.truth(call.first, call.node, call.frame, "bool()")
    if truth is not None:
        return Const(truth)
    return Static("bool", "bool") if is_static(call.first) else Unknown("bool()")


def _str(call: Call) -> Value:
    value = call.first
    if has_no_text(value):
        _library_call(call)
    elif isinstance(value, Layer) and value.name == "decimal.Decimal":
        call.report(f"decimal.Decimal.__{call.name}__")
    elif call.name == "repr" and isinstance(value, Function) and _closes_over_tensors(value):
        call.report("builtins.repr.closure")
    if isinstance(value, Const) and call.name == "str":
        return Const(str(value.value))
    return Static("str", "str")


def has_no_text(value: Value) -> bool:
    """Whether a value is, or a container holds, a tensor or a number that is not known while the graph is captured."""
    if isinstance(value, Sequence):
        return any(has_no_text(v) for v in (value.items if value.items is not None else [value.element]))
    if isinstance(value, Mapping):
        return any(has_no_text(v) for v in (value.items.values() if value.items is not None else [value.element]))
    return tainted(value) or isinstance(value, Tensor)


def _closes_over_tensors(function: Function) -> bool:
    """Whether a function that was defined in compiled code uses a tensor of the function around it."""
    if function.scope is None:
        return False
    used = {n.id for n in ast.walk(function.info.node) if isinstance(n, ast.Name)} - function.info.parameter_names
    return any(isinstance(value, Tensor) and name in used for name, value in function.scope.variables.items())


def _library_call(call: Call) -> Value:
    call.report(call.name if call.name.startswith("math.") else f"builtins.{call.name}")
    return NONE if call.name == "print" else call.plain()


def _sequence(call: Call) -> Value:
    if not call.args:
        return Sequence(call.name, [], UNKNOWN)
    _iterated(call, call.first)
    inner = call.context.as_sequence(call.first)
    return Sequence(call.name, list(inner.items) if inner.items is not None else None, inner.element)


def _iterated(call: Call, value: Value) -> None:
    if isinstance(value, Tensor):
        if value.unbacked:
            decisions.emit_data(call.context, call.node, call.frame, value, "iteration")
        elif value.shape and value.shape[0].depends:
            call.specialize("iteration", value)


def _dict(call: Call) -> Value:
    source = call.first if call.args else Mapping({}, UNKNOWN)
    if isinstance(source, Mapping) and source.items is not None:
        return Mapping({**source.items, **call.kwargs}, UNKNOWN)
    return Mapping(None, choice([element_of(call.context.as_sequence(source)), *call.kwargs.values()]))


# Iteration


def _range(call: Call) -> Value:
    for bound in call.args:
        if isinstance(bound, (Int, Bool)) and getattr(bound, "size", None) is not None and bound.size.depends:  # type: ignore[union-attr]
            call.specialize("range", bound)
        if isinstance(bound, (Unbacked, Tensor)):
            decisions.emit_data(call.context, call.node, call.frame, bound, "range")
    bounds = [b.value for b in call.args if isinstance(b, Const) and isinstance(b.value, int)]
    if len(bounds) == len(call.args) and bounds:
        numbers = range(*bounds[:3])
        if len(numbers) <= 8:
            return Sequence("range", [Const(n) for n in numbers], UNKNOWN)
    return Sequence("range", None, Static("range[]", "int"))


def _enumerate(call: Call) -> Value:
    _iterated(call, call.first)
    inner = call.context.as_sequence(call.first)
    if inner.items is not None:
        pairs: list[Value] = [Sequence("tuple", [Const(i), v], UNKNOWN) for i, v in enumerate(inner.items)]
        return Sequence("generator", pairs, UNKNOWN)
    return Sequence("generator", None, Sequence("tuple", [Static("index", "int"), element_of(inner)], UNKNOWN))


def _zip(call: Call) -> Value:
    for value in call.args:
        _iterated(call, value)
    columns = [call.context.as_sequence(a) for a in call.args]
    if columns and all(c.items is not None for c in columns):
        rows = zip(*(c.items or [] for c in columns), strict=False)
        return Sequence("generator", [Sequence("tuple", list(row), UNKNOWN) for row in rows], UNKNOWN)
    return Sequence("generator", None, Sequence("tuple", [element_of(c) for c in columns], UNKNOWN))


def _keyed(call: Call, inner: Sequence) -> Value:
    """What the `key` of a call gives for an element."""
    key = call.kwargs.get("key", NONE)
    return NONE if key == NONE else call.context.call(key, [element_of(inner)], {}, call.node, call.frame)


def _is_open(value: Value) -> bool:
    """Whether Python cannot compare the value while the graph is captured."""
    return tainted(value) or isinstance(value, Tensor)


def _reordered(call: Call) -> Value:
    _iterated(call, call.first)
    inner = call.context.as_sequence(call.first)
    if call.name == "sorted" and any(_is_open(v) for v in (*(inner.items or [inner.element]), _keyed(call, inner))):
        _library_call(call)
        return Sequence("list", None, element_of(inner))
    if call.name == "reversed" and inner.items is not None:
        return Sequence("list", inner.items[::-1], UNKNOWN)
    return Sequence("list", None, element_of(inner))


def _map(call: Call) -> Value:
    sequences = [call.context.as_sequence(a) for a in call.args[1:]]
    if call.name == "filter":
        return Sequence("generator", None, element_of(sequences[0]) if sequences else UNKNOWN)
    result = call.context.call(call.first, [element_of(s) for s in sequences], {}, call.node, call.frame)
    return Sequence("generator", None, result)


def _next(call: Call) -> Value:
    value = call.first
    if isinstance(value, Sequence):
        return choice([element_of(value), *call.args[1:]])
    return call.plain()


def _iter(call: Call) -> Value:
    _iterated(call, call.first)
    return call.context.as_sequence(call.first)


# Arithmetic and logic


def _extreme(call: Call) -> Value:
    if "key" in call.kwargs:
        inner = call.context.as_sequence(call.first)
        if _is_open(_keyed(call, inner)):
            call.report(f"builtins.{call.name}")
        return element_of(inner)
    values = call.args
    if len(values) == 1:
        inner = call.context.as_sequence(values[0])
        if inner.items is None:
            return element_of(inner)
        values = inner.items
    if any(isinstance(v, Tensor) for v in values):
        return operators.elementwise(call.context, values, call.node, call.frame)
    if any(isinstance(v, Unbacked) for v in values):
        return Unbacked("int", next(t for t in map(trail_of, values) if t))
    if all(isinstance(v, Const) and isinstance(v.value, (int, float)) for v in values) and values:
        pick = max if call.name == "max" else min
        return Const(pick(v.value for v in values if isinstance(v, Const) and isinstance(v.value, (int, float))))
    sizes = [as_size(v) for v in values]
    known = [s for s in sizes if s is not None]
    if len(known) != len(sizes) or not known:
        return call.plain()
    result = known[0]
    for size in known[1:]:
        result = Size.operation(call.name, result, size)
    cause = next((v for v in values if tainted(v)), values[0])
    return integer(result, trail_of(cause), frozenset[str]().union(*(inputs_of(v) for v in values)))


def _sum(call: Call) -> Value:
    inner = call.context.as_sequence(call.first)
    if inner.items:
        total: Value = call.args[1] if len(call.args) > 1 else Const(0)
        for item in inner.items:
            total = call.context.operate(ast.Add(), total, item, call.node, call.frame)
        return total
    element = element_of(inner)
    return element if isinstance(element, (Tensor, Unbacked)) else Static("sum") if is_static(element) else call.plain()


def _any_all(call: Call) -> Value:
    inner = call.context.as_sequence(call.first)
    _iterated(call, call.first)
    stop = call.name == "any"
    undecided = False
    for item in inner.items if inner.items is not None else [element_of(inner)]:
        truth = call.context.truth(item, call.node, call.frame, f"{call.name}()")
        if truth is stop and inner.items is not None:
            return Const(stop)
        undecided = undecided or truth is not (not stop)
    return Static(call.name, "bool") if undecided or inner.items is None else Const(not stop)


def _abs(call: Call) -> Value:
    value = call.first
    if isinstance(value, Const) and isinstance(value.value, (int, float)):
        return Const(abs(value.value))
    if isinstance(value, Int) and value.size.known and value.size.evaluate(2) < 0:
        return replace(value, size=Size.operation("max", value.size, -value.size))
    return value


def _hash(call: Call) -> Value:
    sizes = [v for v in call.args if isinstance(v, Int) and v.size.depends]
    if sizes:
        call.specialize("hash", *sizes)
    return Static("hash", "int")


def _round(call: Call) -> Value:
    value = call.first
    if isinstance(value, Tensor):
        _library_call(call)
        return value
    return integer(Size.about(value.size), value.trail) if isinstance(value, Float) and value.size.depends else value


def _of_size(call: Call) -> Value:
    """A function that is not traced for the number of tokens."""
    return _library_call(call) if any(tainted(a) for a in call.args) else call.plain()


def _pow(call: Call) -> Value:
    """`pow`: unlike `**` it is not traced for tensors, nor modulo something for sizes."""
    if isinstance(call.first, Tensor) or (len(call.args) > 2 and any(tainted(a) for a in call.args)):
        call.report("builtins.pow")
    if len(call.args) != 2:
        return call.plain()
    return call.context.operate(ast.Pow(), call.args[0], call.args[1], call.node, call.frame)


def _divmod(call: Call) -> Value:
    if any(tainted(a) for a in call.args):
        _library_call(call)
    a, b = (as_size(v) for v in call.args[:2]) if len(call.args) > 1 else (None, None)
    if a is None or b is None:
        return Sequence("tuple", [call.plain(), call.plain()], UNKNOWN)
    trail, inputs = trail_of(call.first), inputs_of(call.first)
    return Sequence("tuple", [integer(a // b, trail, inputs), integer(a % b, trail, inputs)], UNKNOWN)


def _above(size: Size) -> Size:
    """The smallest integer that is not below a quotient, of which `size` is what is left of it rounded down."""
    atoms = [atom for monomial, _ in size.terms for atom in monomial if len(atom) == 3]
    if not atoms:
        return size
    if atoms[0][1] == "floordiv" and size == Size.operation("floordiv", *atoms[0][2]):
        top, bottom = atoms[0][2]
        return -(-top // bottom)
    return Size.about(size)


def _math(call: Call) -> Value:
    """A function of `math`: rounding keeps the size, prod multiplies, others give a float or pin the size."""
    short = call.name.removeprefix("math.")
    value = call.first
    if short in ("ceil", "floor", "trunc") and isinstance(value, (Float, Int)):
        if isinstance(value, Float) and short == "ceil" and value.size.depends:
            return Int(_above(value.size), value.trail)
        return integer(value.size, value.trail)
    if short == "prod":
        inner = call.context.as_sequence(value)
        sizes = [as_size(i) for i in inner.items or []]
        if inner.items and all(s is not None for s in sizes):
            return integer(operators.product(s for s in sizes if s is not None), trail_of(value), inputs_of(value))
        return call.plain()
    sizes_in = [v for v in call.args if isinstance(v, (Int, Float)) and v.size.depends]
    if sizes_in and short in ("log", "log10", "pow", "log1p", "exp", "expm1", "fmod"):
        call.specialize(f"math.{short}", sizes_in[0])
        return Static("math", "float")
    if sizes_in and short in ("gcd", "isqrt", "lcm", "comb", "factorial"):
        return _library_call(call)
    if sizes_in:
        return Float(Size.about(sizes_in[0].size), sizes_in[0].trail)
    for data in call.args:
        # Measured: square root and rounding of a number that was read out of a tensor are captured, logarithms are not.
        if isinstance(data, Tensor) or (isinstance(data, Unbacked) and short.startswith("log") and short != "log2"):
            decisions.emit_data(call.context, call.node, call.frame, data, call.name)
            return Static("math", "float")
    if any(isinstance(v, Unbacked) for v in call.args):
        return Unbacked("float", next(t for t in map(trail_of, call.args) if t))
    return call.plain()


# Objects


def _isinstance(call: Call) -> Value:
    if len(call.args) < 2:
        return call.plain()
    answers = {call.context.is_instance(o, call.args[1]) for o in options(call.first)}
    return Const(answers.pop()) if len(answers) == 1 and None not in answers else Static("isinstance", "bool")


def _id(call: Call) -> Value:
    value = call.first
    is_made = isinstance(value, (Sequence, Mapping)) and not value.frozen and _is_local(call)
    if isinstance(value, Instance):
        is_made = value.number in call.context.world.state.made
    return operators.NEW_ID if is_made else Static("id()", "int")


def _is_local(call: Call) -> bool:
    """Whether the argument is a variable of the function that makes the call."""
    node = call.node.args[0] if isinstance(call.node, ast.Call) and call.node.args else None
    return node is not None and call.frame.is_computed(node)


def _hasattr(call: Call) -> Value:
    value = call.first
    is_caught = isinstance(value, Static) and value.label == "exception"
    if is_caught or isinstance(value, Unbacked) or (isinstance(value, Layer) and value.name == "re.Pattern"):
        _library_call(call)
    return Static("hasattr", "bool")


def _getattr(call: Call) -> Value:
    name = call.args[1] if len(call.args) > 1 else UNKNOWN
    if not isinstance(name, Const) or not isinstance(name.value, str):
        return Static("getattr") if is_static(call.first) else Unknown("getattr()")
    found = call.context.attribute(call.first, name.value, call.node, call.frame)
    if len(call.args) > 2:
        known = isinstance(call.first, Instance) and not isinstance(found, Unknown)
        return found if known else choice([found, call.args[2]])
    return found


def _setattr(call: Call) -> Value:
    receiver, name, value = (*call.args, UNKNOWN, UNKNOWN, UNKNOWN)[:3]
    if isinstance(receiver, Instance) and isinstance(name, Const) and isinstance(name.value, str):
        if not call.context.quiet:
            state.set_by_name(call.context, call.node, receiver, name.value, value, call.frame)
        call.context.set_attribute(receiver, name.value, value)
    return NONE


def _type(call: Call) -> Value:
    return Class(call.first.cls) if isinstance(call.first, Instance) else Static("type")


_DISTRIBUTED = {"int", "float", "len", "list", "tuple", "iter", "enumerate", "abs", "round", "getattr"}

_BUILTINS: dict[str, Handler] = {
    "len": _len,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "str": _str,
    "repr": _str,
    "print": _library_call,
    "open": _library_call,
    "input": _library_call,
    "globals": _library_call,
    "breakpoint": _library_call,
    "__import__": _library_call,
    "bytearray": _library_call,
    "bytes": _library_call,
    "compile": _library_call,
    "exec": _library_call,
    "memoryview": _library_call,
    "list": _sequence,
    "tuple": _sequence,
    "set": _sequence,
    "frozenset": _sequence,
    "dict": _dict,
    "range": _range,
    "enumerate": _enumerate,
    "zip": _zip,
    "sorted": _reordered,
    "reversed": _reordered,
    "map": _map,
    "filter": _map,
    "next": _next,
    "iter": _iter,
    "max": _extreme,
    "min": _extreme,
    "sum": _sum,
    "any": _any_all,
    "all": _any_all,
    "abs": _abs,
    "hash": _hash,
    "round": _round,
    "divmod": _divmod,
    **dict.fromkeys(("bin", "chr", "complex", "hex", "oct"), _of_size),
    "pow": _pow,
    "staticmethod": lambda call: call.first,
    "isinstance": _isinstance,
    "hasattr": _hasattr,
    "id": _id,
    "getattr": _getattr,
    "setattr": _setattr,
    "type": _type,
    **{
        f"math.{n}": _math
        for n in [
            "ceil",
            "floor",
            "trunc",
            "prod",
            "log",
            "log10",
            "log2",
            "log1p",
            "pow",
            "exp",
            "expm1",
            "fmod",
            "sqrt",
            "gcd",
            "isqrt",
            "lcm",
            "comb",
            "factorial",
            "cos",
            "sin",
            "isnan",
            "isinf",
            "isfinite",
            "fabs",
        ]
    },
}


# Methods


def call_method(
    context: Context, method: Method, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    """Call a method of a built-in kind of value, of a library object or of torch.nn.Module."""
    receiver, name = method.receiver, method.name
    call = Call(context, name, args, kwargs, node, frame)
    if isinstance(receiver, Tensor):
        return torch_calls.call_tensor_method(context, receiver, name, args, kwargs, node, frame)
    if isinstance(receiver, Sequence):
        return _sequence_method(call, receiver)
    if isinstance(receiver, Mapping):
        return _mapping_method(call, receiver)
    if isinstance(receiver, Instance):
        return _module_method(call, receiver)
    if isinstance(receiver, Parent):
        return _parent_method(call, receiver)
    if isinstance(receiver, Layer):
        return _layer_method(call, receiver)
    if isinstance(receiver, Partial):
        return registering.on_operator(call, receiver)
    if isinstance(receiver, Shape):
        return operators.numel(context, receiver.tensor, node, frame) if name == "numel" else call.plain()  # type: ignore[arg-type]
    if isinstance(receiver, Int) and name in ("bit_length", "__index__") and receiver.size.depends:
        call.specialize(name, receiver)
    if isinstance(receiver, Const) and isinstance(receiver.value, str) and name in _TEXT_METHODS:
        texts = [a.value for a in args if isinstance(a, Const) and isinstance(a.value, str)]
        if len(texts) == len(args) <= _TEXT_METHODS[name]:
            return Const(getattr(receiver.value, name)(*texts))
    if isinstance(receiver, (Const, Static)) and name == "join":
        return Static("str", "str")
    if isinstance(receiver, Const) and is_static(receiver) and all(is_static(a) for a in args):
        return Static(f"{receiver.value!r}.{name}()")
    return call.plain()


def _sequence_method(call: Call, receiver: Sequence) -> Value:
    name = call.name
    function = call.node.func if isinstance(call.node, ast.Call) else None
    if name in ("append", "add", "extend", "insert", "pop", "clear") and isinstance(function, ast.Attribute):
        call.context.note_write(function.value, call.frame)
    if receiver.frozen and name in ("append", "add", "appendleft", "extend", "update"):
        return NONE
    if name in ("append", "add", "appendleft", "extend", "update"):
        call.context.note_change(receiver)
    if name in ("append", "add", "appendleft"):
        if receiver.items is not None and call.context.conditions == 0 and not call.frame.exits:
            receiver.items.append(call.first)
        else:
            receiver.element = choice([*(receiver.items or []), *_known(receiver), call.first])
            receiver.items = None
        return NONE
    if name in ("extend", "update"):
        other = call.context.as_sequence(call.first)
        receiver.element = choice([*(receiver.items or []), *_known(receiver), element_of(other)])
        receiver.items = None
        return NONE
    if name in ("pop", "popleft"):
        return element_of(receiver)
    if name == "index":
        call.context._check_keys([call.first], call.node, call.frame, "list.index")  # type: ignore[attr-defined]
        return Static("index", "int")
    if name == "copy":
        return Sequence(receiver.kind, receiver.items and list(receiver.items), receiver.element)
    if name == "sort" and any(tainted(v) or isinstance(v, Tensor) for v in receiver.items or [receiver.element]):
        call.report("builtins.sorted")
    return NONE if name in ("insert", "remove", "clear", "sort", "reverse") else call.plain()


def _known(receiver: Sequence) -> list[Value]:
    return [receiver.element] if receiver.items is None else []


def _mapping_method(call: Call, receiver: Mapping) -> Value:
    values = list(receiver.items.values()) if receiver.items is not None else [receiver.element]
    if call.name in ("get", "pop", "setdefault"):
        call.context._check_keys([call.first], call.node, call.frame, "dict key")  # type: ignore[attr-defined]
        default = call.args[1] if len(call.args) > 1 else NONE
        if isinstance(call.first, Const) and receiver.items is not None:
            return receiver.items.get(call.first.value, default)
        return choice([*values, default])
    if call.name == "items":
        pairs = None
        if receiver.items is not None:
            pairs = [Sequence("tuple", [Const(k), v], UNKNOWN) for k, v in receiver.items.items()]
        return Sequence("list", pairs, Sequence("tuple", [Static("key"), choice(values)], UNKNOWN))  # type: ignore[arg-type]
    if call.name == "values":
        return Sequence("list", values if receiver.items is not None else None, choice(values))
    if call.name == "keys":
        return call.context.as_sequence(receiver)
    if call.name == "update" and receiver.frozen:
        return NONE
    if call.name == "update":
        call.context.note_change(receiver)
        other = call.first
        if isinstance(other, Mapping) and other.items is not None and receiver.items is not None:
            receiver.items.update(other.items)
        else:
            receiver.items, receiver.element = None, choice([*values, UNKNOWN])
        return NONE
    return call.plain()


def _module_method(call: Call, receiver: Instance) -> Value:
    if call.name in ("register_buffer", "register_parameter", "add_module", "register_module"):
        name = str(call.first.value) if len(call.args) > 1 and isinstance(call.first, Const) else None
        if name is not None and name not in receiver.attributes:
            buffer = call.args[1]  # it goes where the module goes
            value = replace(buffer, memory="") if isinstance(buffer, Tensor) else buffer
            call.context.set_attribute(receiver, name, value)
        return NONE
    _report_module_method(call)
    if call.name.startswith("register_") and call.name.endswith("_hook"):
        return Layer(untraceable.HOOK)
    if call.name in ("to", "cuda", "cpu", "half", "float", "bfloat16", "eval", "train", "requires_grad_", "apply"):
        return receiver
    return Static(f"{receiver.cls.name}.{call.name}()")


def _report_module_method(call: Call) -> None:
    """Report a method of `torch.nn.Module` that breaks the graph."""
    name = f"torch.nn.Module.{call.name}"
    if untraceable.kind_of(name) is not None:
        call.report(name)


def _parent_method(call: Call, receiver: Parent) -> Value:
    """A method of a library class, reached through `super()`."""
    target = receiver.receiver
    bases = call.context.external_bases(receiver.owner)
    if isinstance(target, Instance):
        if call.name == "__init__":
            base = next((b for b in bases if b.startswith("torch.nn.") and not b.endswith(".Module")), None)
            if base is not None:
                built = Layer(base, tuple(call.args), tuple(call.kwargs.items()))
                call.context.set_attribute(target, "__layer__", built)
            return NONE
        if call.name == "__call__":  # torch.nn.Module's
            forward = call.context.attribute(target, "forward", call.node, call.frame)
            return call.context.call(forward, call.args, call.kwargs, call.node, call.frame)
        layer = target.attributes.get("__layer__")
        if call.name == "forward" and layer is not None:
            return call.context.call(layer, call.args, call.kwargs, call.node, call.frame)
        return _module_method(call, target)
    return call.plain()


def _layer_method(call: Call, receiver: Layer) -> Value:
    if receiver.name.startswith("ctypes."):
        call.context.emit(LibraryCall, call.node, call.frame, name=f"{receiver.name}.{call.name}")
        return Static("ctypes")
    if receiver.name == "contextlib.ExitStack":
        entered = call.first if call.name == "enter_context" else UNKNOWN
        if isinstance(entered, Static) and entered.label.startswith(("torch.", "contextlib.")):
            call.report("contextlib.ExitStack.enter_context")
        return call.first if isinstance(call.first, Instance) else Static("context")
    if receiver.name.startswith("torch.nn."):
        _report_module_method(call)
    elif untraceable.kind_of(f"{receiver.name}.{call.name}") is not None:
        call.report(f"{receiver.name}.{call.name}")
    if receiver.name == "logging.Logger":
        call.report(f"logging.Logger.{call.name}")
        return Static("logging", "bool") if call.name in ("isEnabledFor", "hasHandlers", "getEffectiveLevel") else NONE
    if receiver.name == registering.LIBRARY:
        return registering.on_library(call, receiver)
    if call.name == "forward":
        return call.context.call(receiver, call.args, call.kwargs, call.node, call.frame)
    if receiver.name.startswith("torch.nn.") and call.name.startswith("register_") and call.name.endswith("_hook"):
        return Layer(untraceable.HOOK)
    if receiver.name.startswith("torch.nn."):
        return receiver if call.name in ("to", "cuda", "eval", "train", "half", "float") else Static("layer")
    return call.plain()
