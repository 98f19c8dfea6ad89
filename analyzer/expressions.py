"""Evaluates expressions over abstract values."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any

from vllm_lint.analyzer import builtin_calls, decisions, operators, special_calls, state, untraceable
from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import LibraryCall, SizeSpecialization
from vllm_lint.analyzer.hashes import is_dataclass
from vllm_lint.analyzer.index import CACHED_NODES, Assignment, Binding, ClassInfo, FunctionInfo, ModuleInfo
from vllm_lint.analyzer.origins import NO_ORIGINS, Origins
from vllm_lint.analyzer.sizes import Condition, Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    FALSE,
    MAX_ITEMS,
    NONE,
    TRUE,
    UNKNOWN,
    Bool,
    Choice,
    Class,
    Const,
    External,
    Float,
    Function,
    Instance,
    Int,
    Layer,
    Mapping,
    Method,
    Module,
    Parent,
    Partial,
    Scope,
    Sequence,
    Shape,
    Static,
    Tensor,
    Unbacked,
    Unknown,
    Value,
    as_size,
    choice,
    decided,
    element_of,
    inputs_of,
    integer,
    is_static,
    join,
    options,
    origins_of,
    tainted,
    trail_of,
    with_truth,
)

_AUTOGRAD_FUNCTION = "torch.autograd.Function"
_MAX_UNROLL = 8
#: Larger integers are not computed with.
_MAX_BITS = 64

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: a**b,
    ast.LShift: lambda a, b: a << b,
    ast.RShift: lambda a, b: a >> b,
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
    ast.BitXor: lambda a, b: a ^ b,
}

_SIZE_OPERATIONS: dict[type[ast.operator], Callable[[Size, Size], Size]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: Size.operation("pow", a, b),
    ast.LShift: lambda a, b: Size.operation("shl", a, b),
    ast.RShift: lambda a, b: Size.operation("shr", a, b),
    ast.BitAnd: lambda a, b: Size.operation("and", a, b),
    ast.BitOr: lambda a, b: Size.operation("or", a, b),
    ast.BitXor: lambda a, b: Size.operation("xor", a, b),
}

_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Eq: ("==", lambda a, b: a == b),
    ast.NotEq: ("!=", lambda a, b: a != b),
    ast.Lt: ("<", lambda a, b: a < b),
    ast.LtE: ("<=", lambda a, b: a <= b),
    ast.Gt: (">", lambda a, b: a > b),
    ast.GtE: (">=", lambda a, b: a >= b),
}


class Expressions(Context):
    """The part of the interpreter that evaluates expressions."""

    def evaluate(self, node: ast.expr, frame: Frame) -> Value:
        """The value of an expression."""
        handler = _HANDLERS.get(type(node))
        return handler(self, node, frame) if handler else UNKNOWN

    def _constant(self, node: ast.Constant, frame: Frame) -> Value:
        return Const(node.value)

    def _name(self, node: ast.Name, frame: Frame) -> Value:
        if not self.quiet and (frame.scope is not None or frame.module.rebound) and node.id not in frame.variables:
            state.read_variable(self, node, frame)
        return self.lookup(node.id, frame)

    def _tuple(self, node: ast.Tuple | ast.List | ast.Set, frame: Frame) -> Value:
        kind = type(node).__name__.lower()
        items: list[Value] = []
        for element in node.elts:
            if isinstance(element, ast.Starred):
                inner = self.as_sequence(self.evaluate(element.value, frame))
                if inner.items is None or len(inner.items) + len(items) > MAX_ITEMS:
                    rest = [self.evaluate(e, frame) for e in node.elts if not isinstance(e, ast.Starred)]
                    return Sequence(kind, None, choice([*items, *rest, element_of(inner)]))
                items += inner.items
            else:
                items.append(self.evaluate(element, frame))
        if kind == "set":
            self._check_keys(items, node, frame, "set element")
        return Sequence(kind, items, UNKNOWN)

    def _dict(self, node: ast.Dict, frame: Frame) -> Value:
        items: dict[Hashable, Value] | None = {}
        extra: list[Value] = []
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            value = self.evaluate(value_node, frame)
            if key_node is None:
                if isinstance(value, Mapping) and value.items is not None and items is not None:
                    items.update(value.items)
                    continue
                items, extra = None, [*extra, value.element if isinstance(value, Mapping) else UNKNOWN]
                continue
            key = self.evaluate(key_node, frame)
            self._check_keys([key], key_node, frame, "dict key")
            if isinstance(key, Const) and items is not None:
                items[key.value] = value
            else:
                extra = [*extra, value, *(items or {}).values()]
                items = None
        return Mapping(items, choice(extra))

    def _check_keys(self, keys: list[Value], node: Located, frame: Frame, form: str) -> None:
        for key in keys:
            if isinstance(key, Int) and key.size.depends:
                self.emit(SizeSpecialization, node, frame, key, form=form)
            elif isinstance(key, Sequence) and key.items:
                self._check_keys(key.items, node, frame, form)
            elif isinstance(key, Unbacked):
                decisions.emit_data(self, node, frame, key, form)

    def _lambda(self, node: ast.Lambda, frame: Frame) -> Value:
        info = FunctionInfo(node, frame.module, f"{frame.module.name}.<lambda>")
        return Function(self.shared_info(info), None, self.scope_of(frame), frame.owner)

    def scope_of(self, frame: Frame) -> Scope:
        """What a function that is defined in `frame` sees of it."""
        scope = Scope(frame.variables, frame.scope)
        if not self.quiet:
            self.world.state.made.add(("scope", scope.number))
        return scope

    def _if_expression(self, node: ast.IfExp, frame: Frame) -> Value:
        outer, self.deciding = self.deciding, NO_ORIGINS
        truth = self.decide(node.test, frame, "conditional expression")
        origins, self.deciding = self.deciding, outer
        if truth is not None:
            return self.evaluate(node.body if truth else node.orelse, self.narrowed(node.test, frame, truth=truth))
        with self.conditionally(), self.unsure():
            either = join(
                self.evaluate(node.body, self.narrowed(node.test, frame, truth=True)),
                self.evaluate(node.orelse, self.narrowed(node.test, frame, truth=False)),
            )
        return decided(either, origins)

    def _named(self, node: ast.NamedExpr, frame: Frame) -> Value:
        value = self.evaluate(node.value, frame)
        frame.variables[node.target.id] = value
        return value

    def _starred(self, node: ast.Starred, frame: Frame) -> Value:
        return self.evaluate(node.value, frame)

    def _yield(self, node: ast.Yield | ast.YieldFrom | ast.Await, frame: Frame) -> Value:
        value = self.evaluate(node.value, frame) if node.value is not None else NONE
        if isinstance(node, ast.Await):
            self.emit(LibraryCall, node, frame, name="async.await")
        if isinstance(node, ast.YieldFrom):
            value = element_of(self.as_sequence(value))
        if not isinstance(node, ast.Await):
            frame.yields.append(value)
        return UNKNOWN

    def _formatted(self, node: ast.JoinedStr, frame: Frame) -> Value:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                value = self.evaluate(part.value, frame)
                if isinstance(value, (Int, Float)) and value.size.depends:
                    self.emit(SizeSpecialization, part.value, frame, value, form="f-string")
        return Static("str", "str")

    # Attributes and items

    def _attribute(self, node: ast.Attribute, frame: Frame) -> Value:
        return self.attribute(self.evaluate(node.value, frame), node.attr, node, frame)

    def attribute(self, value: Value, name: str, node: Located, frame: Frame) -> Value:  # noqa: C901  one case a kind of value
        """`value.name`."""
        if isinstance(value, Choice):
            several = [o for o in value.options if o != NONE]
            found = choice([self.attribute(o, name, node, frame) for o in several] or [UNKNOWN])
            return decided(found, value.origins) if len(several) > 1 else found
        if isinstance(value, Instance):
            return self._instance_attribute(value, name, node, frame)
        if isinstance(value, Parent):
            return self._parent_attribute(value, name, node, frame)
        if isinstance(value, Module):
            defined = self.module_attribute(value.module, name)
            if defined is None:
                submodule = self.project.module(f"{value.module.name}.{name}")
                if submodule is None:
                    state.read_module(self, value.module, name, node, frame)
                return Module(submodule) if submodule else self._module_getattr(value.module, name, node, frame)
            return defined
        if isinstance(value, External):
            qualified = f"{value.name}.{name}"
            return special_calls.GLOBALS.get(qualified) or External(qualified)
        if isinstance(value, Class):
            return self._class_attribute(value, name, node, frame)
        if isinstance(value, Static):
            origins = value.origins
            if name == "tb_lasti":
                self.emit(LibraryCall, node, frame, name="traceback.tb_lasti")
            if value.label == special_calls.ENVIRONMENT:
                origins |= self.environment_origins(name, node, frame, by_vllm=True)
            return Static(f"{value.label}.{name}" if value.label else "", origins=origins)
        if isinstance(value, Tensor):
            return operators.tensor_attribute(self, value, name, node, frame)
        if isinstance(value, Layer):
            state.read_layer(self, value, name, node, frame)
            return operators.layer_attribute(value, name)
        if isinstance(value, (Function, Partial)) and name in ("func", "__func__", "__wrapped__", "maybe_inplace"):
            return value.function if isinstance(value, Partial) else value
        if isinstance(value, Unknown):
            return Unknown(value.reason, tainted=value.tainted)
        if value == NONE:
            return Static(f"None.{name}")  # so it is something else at run time, such as the field of a configuration
        return Method(value, name)

    def _module_getattr(self, module: ModuleInfo, name: str, node: Located, frame: Frame) -> Value:
        """What a module's own `__getattr__` gives: a plugin's environment variables are mostly kept like that."""
        label = f"{module.name}.{name}"
        if "__getattr__" not in module.bindings:
            return Static(label)
        for binding in itertools.chain.from_iterable(module.bindings.values()):
            if isinstance(binding, Assignment) and isinstance(binding.value, ast.Dict):
                for key, getter in zip(binding.value.keys, binding.value.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == name and isinstance(getter, ast.Lambda):
                        outer = self.deciding
                        with self.silently():
                            value = self.evaluate(getter.body, Frame(module, {}))
                        self.deciding = outer
                        read = frozenset(replace(o, read=frame.module.source.span(node)) for o in origins_of(value))
                        return Static(label, origins=read)
        return Static(label)

    def _instance_attribute(self, instance: Instance, name: str, node: Located, frame: Frame) -> Value:
        attributes = instance.attributes
        if not self.quiet:
            self.world.state.read((instance.number, name), node, frame.module)
        if name in attributes:
            held = attributes[name]
            if not self.quiet and isinstance(held, Layer) and held.name in untraceable.HELD:
                self.emit(LibraryCall, node, frame, name=held.name)
            return held
        if name == "__class__":
            return Class(instance.cls)
        origins = self.field_origins(instance.cls, name, node, frame) if instance.typed else NO_ORIGINS
        if origins:
            return self._unhashed_field(instance, name, origins)
        found = self.member(instance.cls, name)
        if found is not None:
            return self._bound_member(instance, name, *found, node, frame)
        for base in self.project.linearization(instance.cls):
            if not isinstance(base, str) and name in base.annotations:
                home = Frame(base.module, {})
                return self.from_annotation(base.annotations[name], home, f"{instance.cls.name}.{name}")
        layer = attributes.get("__layer__")
        if isinstance(layer, Layer):
            return operators.layer_attribute(layer, name)
        if name in operators.MODULE_METHODS:
            return Method(instance, name)
        if name == "training":
            return FALSE
        getter = self.member(instance.cls, "__getattr__")
        if getter is not None and not self.quiet and not _is_plain_function(getter[1]):
            self.emit(LibraryCall, node, frame, name="object.__getattr__")
        return Unknown(f"{instance.cls.name}.{name}")

    def _unhashed_field(self, instance: Instance, name: str, origins: Origins) -> Value:
        """A field that the cache key does not hold; its default says nothing, for that is not what changes."""
        for base in self.project.linearization(instance.cls):
            if not isinstance(base, str) and name in base.annotations:
                label = f"{base.name}.{name}"
                value = self.from_annotation(base.annotations[name], Frame(base.module, {}), label)
                if isinstance(value, Sequence):
                    return replace(value, items=None, element=Static(f"{label}[]", origins=origins))
                return decided(choice(decided(o, origins) for o in options(value)), origins)
        raise AssertionError(name)

    def _parent_attribute(self, value: Parent, name: str, node: Located, frame: Frame) -> Value:
        """`super().name`, with the class of a library reached last."""
        receiver = value.receiver
        cls = receiver.cls if isinstance(receiver, (Instance, Class)) else value.owner
        found = self.member(cls, name, after=value.owner)
        if found is None:
            return Method(value, name)
        if isinstance(receiver, Instance):
            return self._bound_member(receiver, name, *found, node, frame)
        return self.binding_value(found[1], Frame(found[0].module, {}, owner=found[0]), receiver)

    def _bound_member(
        self, instance: Instance, name: str, base: ClassInfo, binding: Binding, node: Located, frame: Frame
    ) -> Value:
        home = Frame(base.module, {}, owner=base)
        if not isinstance(binding, FunctionInfo):
            default = self.binding_value(binding, home)
            if instance.typed and name in base.annotations and (default == NONE or is_dataclass(base)):
                # A field, whose default says nothing: which value it has is not known, but which type.
                return self.from_annotation(base.annotations[name], Frame(base.module, {}), f"{base.name}.{name}")
            return default
        decorators = _decorator_names(binding)
        if "staticmethod" in decorators:
            return self.binding_value(binding, home)
        if "classmethod" in decorators:
            return self.binding_value(binding, home, Class(instance.cls))
        method = self.binding_value(binding, home, instance)
        if decorators & {"property", "cached_property", "functools.cached_property"}:
            if "property" not in decorators:
                self.emit(LibraryCall, node, frame, name="functools.cached_property", conditional=True)
            value = self.call(method, [], {}, node, frame)
            if "property" not in decorators and self.quiet:  # asked for before, so that it is there from then on
                self.set_attribute(instance, name, value)
            return value
        return method

    def _class_attribute(self, value: Class, name: str, node: Located, frame: Frame) -> Value:
        if not self.quiet:
            self.world.state.read((value.cls.qualified_name, name), node, frame.module)
        found = self.member(value.cls, name)
        if found is None and name == "apply" and _AUTOGRAD_FUNCTION in self.external_bases(value.cls):
            return self._autograd_function(value.cls, node, frame)
        if found is None:
            if any(b.startswith("enum.") for b in self.external_bases(value.cls)):
                return Static(f"{value.cls.name}.{name}")
            return Const(value.cls.name) if name == "__name__" else Static(f"{value.cls.name}.{name}")
        base, binding = found
        home = Frame(base.module, {}, owner=base)
        if isinstance(binding, FunctionInfo) and "classmethod" in _decorator_names(binding):
            return self.binding_value(binding, home, value)
        if isinstance(binding, Assignment) and any(b.startswith("enum.") for b in self.external_bases(value.cls)):
            return Static(f"{value.cls.name}.{name}")
        bound = self.binding_value(binding, home)
        is_callable = isinstance(bound, (Partial, External)) and name != "forward" and not self.quiet
        if is_callable and _AUTOGRAD_FUNCTION in self.external_bases(value.cls):
            self.emit(LibraryCall, node, frame, name="torch.autograd.Function.method")
        return bound

    def _autograd_function(self, cls: ClassInfo, node: Located, frame: Frame) -> Value:
        """`apply` of an `autograd.Function`: its forward, with a context unless that is set up apart."""
        forward = self._class_attribute(Class(cls), "forward", node, frame)
        if not isinstance(forward, Function):
            self.emit(LibraryCall, node, frame, name="torch.autograd.Function.forward")
        context = () if self.member(cls, "setup_context") else (Layer(f"{_AUTOGRAD_FUNCTION}Ctx"),)
        return Partial(forward, context, ())

    def _subscript(self, node: ast.Subscript, frame: Frame) -> Value:
        value = self.evaluate(node.value, frame)
        if value == special_calls.OS_ENVIRON:
            name = self.evaluate(node.slice, frame)
            state.read_environment(self, node, frame, name)
            return special_calls.read_environment(self, name, node, frame)
        if isinstance(value, (Class, External)):
            return value
        if isinstance(node.slice, ast.Slice) and not isinstance(value, Tensor):
            return self._slice(value, node.slice, node, frame)
        if isinstance(value, Tensor):
            self._note_index(node.slice, frame)
            return operators.index_tensor(self, value, node, frame)
        index = self.evaluate(node.slice, frame)
        found = choice(self._item_of(o, index, node, frame) for o in options(value))
        origins = value.origins if isinstance(value, (Static, Choice)) else NO_ORIGINS
        return decided(found, origins | origins_of(index))

    def _note_index(self, node: ast.expr, frame: Frame) -> None:
        """Report what the cache key does not hold where it is an index or bound into a tensor."""
        if self.quiet:
            return
        for part in node.elts if isinstance(node, ast.Tuple) else [node]:
            for bound in (part.lower, part.upper, part.step) if isinstance(part, ast.Slice) else (part,):
                if isinstance(bound, (ast.Name, ast.Attribute)):
                    with self.silently():
                        origins = origins_of(self.evaluate(bound, frame))
                    self.influence(bound, frame, origins, "argument")

    def _item_of(self, value: Value, index: Value, node: ast.Subscript, frame: Frame) -> Value:
        value = self._as_tuple(value)
        if isinstance(value, Tensor):
            return operators.index_tensor(self, value, node, frame)
        if isinstance(value, (Sequence, Mapping, Static)):
            self._check_keys([index], node.slice, frame, "index" if isinstance(value, Sequence) else "dict key")
        if isinstance(index, Const):
            return self.item(value, index.value, node, frame)
        if isinstance(value, Sequence):
            return element_of(value)
        if isinstance(value, Mapping):
            return choice(value.items.values()) if value.items else value.element
        if isinstance(value, Static):
            return Static(f"{value.label}[]" if is_static(index) else "")
        if isinstance(value, Shape):
            return Unknown("a dimension", tainted=True)
        if isinstance(value, Instance):
            return self.call(self.attribute(value, "__getitem__", node, frame), [index], {}, node, frame)
        return Unknown("an item", tainted=tainted(value))

    def item(
        self, value: Value, index: Hashable, node: ast.Subscript | None = None, frame: Frame | None = None
    ) -> Value:
        """`value[index]` for a known index."""
        if isinstance(value, Choice):
            return choice(self.item(o, index, node, frame) for o in value.options)
        if isinstance(value, Shape) and isinstance(index, int):
            return operators.dimension(self, value.tensor, index, node, frame)
        if isinstance(value, Sequence):
            if value.items is not None and isinstance(index, int) and -len(value.items) <= index < len(value.items):
                return value.items[index]
            return element_of(value)
        if isinstance(value, Mapping):
            return value.items.get(index, UNKNOWN) if value.items is not None else value.element
        if isinstance(value, Tensor):
            return operators.drop_dimension(value)
        if isinstance(value, Static):
            return Static(f"{value.label}[{index}]" if value.label else "")
        if isinstance(value, Instance) and node is not None and frame is not None:
            getter = self.attribute(value, "__getitem__", node, frame)
            return self.call(getter, [Const(index)], {}, node, frame)
        return Unknown("an item", tainted=tainted(value))

    def _slice(self, value: Value, node: ast.Slice, whole: ast.Subscript, frame: Frame) -> Value:
        bounds = [None if b is None else self.evaluate(b, frame) for b in (node.lower, node.upper, node.step)]
        for bound in bounds:
            if isinstance(bound, Int) and bound.size.depends and isinstance(value, (Sequence, Shape)):
                self.emit(SizeSpecialization, whole, frame, bound, form="list slice")
        known = all(b is None or (isinstance(b, Const) and isinstance(b.value, (int, type(None)))) for b in bounds)
        if isinstance(value, Shape) and value.tensor.open and known and _outruns(bounds, value.tensor):
            return Sequence("tuple", None, Unknown("a dimension", tainted=True))
        if isinstance(value, Shape) and value.tensor.shape is not None:
            value = Sequence("tuple", operators.dimensions(self, value.tensor, whole, frame), UNKNOWN)
        if isinstance(value, Sequence):
            if value.items is not None and known:
                start, stop, step = (getattr(b, "value", None) for b in bounds)
                return Sequence(value.kind, value.items[start:stop:step], UNKNOWN)
            return Sequence(value.kind, None, element_of(value))
        if isinstance(value, Choice):
            return choice(self._slice(o, node, whole, frame) for o in value.options)
        if isinstance(value, Shape):
            return Sequence("tuple", None, Unknown("a dimension", tainted=True))
        if isinstance(value, (Static, Const, Instance, Layer, Method)):
            return Static(f"{getattr(value, 'label', '')}[:]")
        return Unknown("a slice", tainted=tainted(value))

    def as_sequence(self, value: Value) -> Sequence:
        """`value` as something to iterate over."""
        value = self._as_tuple(value)
        if isinstance(value, Sequence):
            return value
        if isinstance(value, Shape):
            if value.tensor.shape is None or value.tensor.open:
                return Sequence("tuple", None, Unknown("a dimension", tainted=True))
            dims = [integer(d, value.tensor.trail, value.tensor.inputs) for d in value.tensor.shape]
            return Sequence("tuple", list(dims), UNKNOWN)
        if isinstance(value, Mapping):
            keys: list[Value] | None = None if value.items is None else [Const(k) for k in value.items]
            return Sequence("list", keys, Static("key"))
        if isinstance(value, Tensor):
            return Sequence("generator", None, operators.drop_dimension(value))
        if isinstance(value, Choice):
            return Sequence("list", None, choice(element_of(self.as_sequence(o)) for o in value.options))
        if isinstance(value, Const) and isinstance(value.value, str):
            return Sequence("list", [Const(c) for c in value.value[:_MAX_UNROLL]], UNKNOWN)
        if is_static(value):
            return Sequence("list", None, Static(f"{getattr(value, 'label', '')}[]", origins=origins_of(value)))
        return Sequence("list", None, Unknown("an element", tainted=tainted(value)))

    def _as_tuple(self, value: Value) -> Value:
        """What a named tuple or `nn.Sequential` holds; anything else as it is."""
        if isinstance(value, Layer) and value.name == "torch.nn.Sequential":
            return Sequence("tuple", list(value.arguments), UNKNOWN)
        if isinstance(value, Instance) and "typing.NamedTuple" in self.external_bases(value.cls):
            return Sequence("tuple", [value.attributes.get(n, UNKNOWN) for n in value.cls.annotations], UNKNOWN)
        return value

    # Operations

    def _unary(self, node: ast.UnaryOp, frame: Frame) -> Value:
        if isinstance(node.op, ast.Not):
            return self._not(node, frame)
        value = self.evaluate(node.operand, frame)
        if isinstance(value, Const) and isinstance(value.value, (int, float)):
            number = value.value
            return Const(
                -number if isinstance(node.op, ast.USub) else +number if isinstance(node.op, ast.UAdd) else ~int(number)
            )
        size = as_size(value)
        if size is not None and isinstance(node.op, ast.USub):
            return integer(-size, trail_of(value), inputs_of(value))
        return value

    def _not(self, node: ast.UnaryOp, frame: Frame) -> Value:
        value = self.evaluate(node.operand, frame)
        if isinstance(value, Bool):
            return Bool(Condition("not", (value.condition,)), value.trail, value.inputs, value.exact)
        truth = self.truth(value, node.operand, frame, "not")
        return Static("not", "bool", origins_of(value)) if truth is None else Const(not truth)

    def _binary(self, node: ast.BinOp, frame: Frame) -> Value:
        return self.operation(node.op, self.evaluate(node.left, frame), self.evaluate(node.right, frame), node, frame)

    def operation(self, op: ast.operator, left: Value, right: Value, node: Located, frame: Frame) -> Value:
        """`left op right`, with where the operands come from."""
        result = self.operate(op, left, right, node, frame)
        origins = origins_of(left, right)
        if origins and (isinstance(left, Tensor) or isinstance(right, Tensor)):
            self.influence(node, frame, origins, "argument")
        return decided(result, origins)

    def operate(self, op: ast.operator, left: Value, right: Value, node: Located, frame: Frame) -> Value:
        """`left op right`."""
        if isinstance(left, Const) and isinstance(right, Const):
            return _fold(op, left, right)
        if isinstance(left, Choice) or isinstance(right, Choice):
            pairs = [(a, b) for a in options(left) for b in options(right)]
            if len(pairs) <= 9:
                return choice(self.operate(op, a, b, node, frame) for a, b in pairs)
        if isinstance(op, ast.Mod) and isinstance(left, Const) and isinstance(left.value, str):
            if builtin_calls.has_no_text(right):
                is_tensor = isinstance(right, Tensor)
                self.emit(LibraryCall, node, frame, right, name="builtins.str.__mod__", tensor=is_tensor, token=True)
            return Static("str", "str")
        if isinstance(left, Tensor) or isinstance(right, Tensor):
            if isinstance(op, ast.MatMult):
                return operators.matmul(left, right)
            dtype = "float" if isinstance(op, ast.Div) else ""
            return operators.elementwise(self, [left, right], node, frame, dtype)
        if isinstance(left, Unbacked) or isinstance(right, Unbacked):
            kind = "float" if isinstance(op, ast.Div) else "int"
            return Unbacked(kind, trail_of(left) or trail_of(right))
        if isinstance(left, (Sequence, Shape)) or isinstance(right, (Sequence, Shape)):
            return self._operate_sequences(op, left, right, node, frame)
        for side in (left, right):
            if isinstance(side, Bool) and side.condition.depends:
                decisions.emit_size(self, node, frame, side, "arithmetic on a comparison")
        return self._operate_numbers(op, left, right, node, frame)

    def _operate_numbers(self, op: ast.operator, left: Value, right: Value, node: Located, frame: Frame) -> Value:
        if left is operators.ADDRESS or right is operators.ADDRESS:
            self.emit(LibraryCall, node, frame, name="torch.Tensor.data_ptr")
        if isinstance(left, Layer) and left.name == "decimal.Decimal":
            self.emit(LibraryCall, node, frame, name="decimal.Decimal.__add__")
        a, b = as_size(left), as_size(right)
        trail, inputs = trail_of(left) or trail_of(right), inputs_of(left) | inputs_of(right)
        exact = getattr(left, "exact", True) and getattr(right, "exact", True)
        if a is not None and b is not None:
            if isinstance(op, ast.Div):
                return (
                    Float(Size.operation("floordiv", a, b), trail) if a.depends or b.depends else Static("/", "float")
                )
            combine = _SIZE_OPERATIONS.get(type(op))
            if combine is not None and not (isinstance(left, Static) and isinstance(right, Static)):
                return integer(combine(a, b), trail, inputs, exact=exact)
            if combine is not None:
                result = combine(a, b)
                return Int(result) if result.constant is None else Const(result.constant)
        if isinstance(left, Float) or isinstance(right, Float):
            sizes = [v.size if isinstance(v, Float) else as_size(v) for v in (left, right)]
            combine = _SIZE_OPERATIONS.get(ast.FloorDiv if isinstance(op, ast.Div) else type(op))
            if sizes[0] is not None and sizes[1] is not None and combine is not None:
                size = combine(sizes[0], sizes[1])
                # What was rounded off comes back where it is multiplied.
                is_exact = isinstance(op, (ast.Add, ast.Sub, ast.Div, ast.FloorDiv)) or not size.depends
                return Float(size if is_exact else Size.about(size), trail)
        if tainted(left) or tainted(right):
            return Unknown("arithmetic", tainted=True)
        if is_static(left) and is_static(right):
            return Static(self.text(node, frame))
        return UNKNOWN

    def _operate_sequences(self, op: ast.operator, left: Value, right: Value, node: Located, frame: Frame) -> Value:
        if isinstance(op, ast.Add):
            a, b = self.as_sequence(left), self.as_sequence(right)
            kind = a.kind if isinstance(left, Sequence) else "tuple"
            if a.items is not None and b.items is not None and len(a.items) + len(b.items) <= MAX_ITEMS:
                return Sequence(kind, a.items + b.items, UNKNOWN)
            elements = [element_of(s) for s in (a, b) if s.items is None or s.items]
            return Sequence(kind, None, choice(elements))
        if isinstance(op, ast.Mult):
            sequence, count = (left, right) if isinstance(left, (Sequence, Shape)) else (right, left)
            if isinstance(count, Int) and count.size.depends:
                self.emit(SizeSpecialization, node, frame, count, form="list repetition")
            inner = self.as_sequence(sequence)
            if (
                inner.items is not None
                and isinstance(count, Const)
                and isinstance(count.value, int)
                and count.value <= 8
            ):
                return Sequence(inner.kind, inner.items * count.value, UNKNOWN)
            return Sequence(inner.kind, None, element_of(inner))
        return Unknown("sequence operation")

    # Comparisons and conditions

    def _boolean(self, node: ast.BoolOp, frame: Frame) -> Value:
        """`and` and `or` give one of their operands; all but the last are decisions."""
        stop = isinstance(node.op, ast.Or)
        results: list[Value] = []
        origins = NO_ORIGINS
        current = frame
        for position, operand in enumerate(node.values):
            with self.unsure() if position else nullcontext():
                value = self.evaluate(operand, current)
            if position == len(node.values) - 1:
                results.append(value)
                break
            truth = self.truth(value, operand, current, "or" if stop else "and")
            if truth is stop:
                results.append(value)
                break
            if truth is None:
                results.append(with_truth(value, stop))
                origins |= origins_of(value)
            current = self.narrowed(operand, current, truth=not stop)
        return decided(choice(results), origins)

    def _compare(self, node: ast.Compare, frame: Frame) -> Value:
        left = self.evaluate(node.left, frame)
        results: list[Value] = []
        for position, (op, right_node) in enumerate(zip(node.ops, node.comparators, strict=True)):
            right = self.evaluate(right_node, frame)
            result = decided(self.compare(op, left, right, node, frame), origins_of(left, right))
            if position < len(node.ops) - 1:
                truth = self.truth(result, node, frame, "chained comparison")
                if truth is False:
                    return FALSE
                if truth is True:
                    left = right
                    continue
            results.append(result)
            left = right
        return results[0] if len(results) == 1 else choice(results)

    def compare(self, op: ast.cmpop, left: Value, right: Value, node: Located, frame: Frame) -> Value:
        """`left op right`."""
        if isinstance(op, (ast.Is, ast.IsNot)):
            same = _identical(left, right)
            return Static("is", "bool") if same is None else Const(same == isinstance(op, ast.Is))
        if isinstance(op, (ast.In, ast.NotIn)):
            return self._contains(left, right, node, frame, negate=isinstance(op, ast.NotIn))
        if isinstance(left, Choice) or isinstance(right, Choice):
            pairs = [(a, b) for a in options(left) for b in options(right)]
            if len(pairs) <= 9:
                return choice(self.compare(op, a, b, node, frame) for a, b in pairs)
            return Static("comparison", "bool")
        name, operation = _COMPARISONS[type(op)]
        if isinstance(left, Const) and isinstance(right, Const):
            try:
                return Const(bool(operation(left.value, right.value)))
            except TypeError:
                return UNKNOWN
        if NONE in (left, right) and isinstance(op, (ast.Eq, ast.NotEq)) and not isinstance(left, (Static, Unknown)):
            return Const(isinstance(op, ast.NotEq))
        if isinstance(left, Tensor) or isinstance(right, Tensor):
            return operators.elementwise(self, [left, right], node, frame, "bool")
        if isinstance(left, Unbacked) or isinstance(right, Unbacked):
            return Unbacked("bool", trail_of(left) or trail_of(right))
        if isinstance(left, (Shape, Sequence)) and isinstance(right, (Shape, Sequence)):
            return decisions.compare_sequences(self, name, left, right, node, frame)
        return self._compare_numbers(name, left, right, node, frame)

    def _compare_numbers(self, name: str, left: Value, right: Value, node: Located, frame: Frame) -> Value:
        if left is operators.ADDRESS or right is operators.ADDRESS:
            self.emit(LibraryCall, node, frame, name="torch.Tensor.data_ptr")
            return Static("comparison", "bool")
        name, left, right = decisions.rounded(name, left, right)
        a, b = _over_one_divisor(left, right)
        if a is not None and b is not None and (a.depends or b.depends or a == b):
            if a == b:
                decisions.combine(self, left, right, node, frame)
            condition = Condition(name, (a, b))
            exact = getattr(left, "exact", True) and getattr(right, "exact", True)
            truth = condition.decide()
            if truth is not None:
                return Const(truth)
            return Bool(condition, trail_of(left) or trail_of(right), inputs_of(left) | inputs_of(right), exact)
        if (left is operators.NEW_ID) != (right is operators.NEW_ID):
            self.emit(LibraryCall, node, frame, name="builtins.id")
        if tainted(left) or tainted(right):
            return Unknown("comparison", tainted=True)
        return Static("comparison", "bool") if is_static(left) and is_static(right) else UNKNOWN

    def _contains(self, left: Value, right: Value, node: Located, frame: Frame, *, negate: bool) -> Value:
        if right == state.ENVIRONMENT:
            state.read_environment(self, node, frame, left)
        if isinstance(left, Const) and isinstance(right, Const):
            if isinstance(left.value, str) and isinstance(right.value, str):
                return Const((left.value in right.value) != negate)
            return UNKNOWN
        if right == special_calls.OS_ENVIRON:
            return special_calls.is_in_environment(self, left, node, frame)
        known = isinstance(right, Sequence) and (right.kind != "set" or isinstance(left, Const))
        if known and isinstance(right, Sequence) and right.items:
            answers = [self.compare(ast.Eq(), left, item, node, frame) for item in right.items]
            if any(a == TRUE for a in answers):
                return Const(not negate)
            if all(a == FALSE for a in answers):
                return Const(negate)
            if any(isinstance(a, Tensor) for a in answers):
                return next(a for a in answers if isinstance(a, Tensor))
            bools = [a for a in answers if isinstance(a, Bool)]
            if bools:
                condition = Condition("or", tuple(b.condition for b in bools))
                if negate:
                    condition = Condition("not", (condition,))
                return Bool(condition, bools[0].trail, bools[0].inputs, all(b.exact for b in bools))
            return Static("in", "bool")
        if isinstance(right, Mapping) and right.items is not None and isinstance(left, Const):
            return Const((left.value in right.items) != negate)
        if isinstance(right, (Mapping, Static)) or (isinstance(right, Sequence) and right.kind == "set"):
            self._check_keys([left], node, frame, "dict key" if not isinstance(right, Sequence) else "set element")
        if isinstance(right, Tensor):
            return Tensor((), "bool", trail=right.trail)
        return Static("in", "bool") if is_static(left) else UNKNOWN

    # Comprehensions

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, frame: Frame) -> Value:
        kind = {ast.ListComp: "list", ast.SetComp: "set", ast.GeneratorExp: "generator"}[type(node)]
        inner = frame.fork()
        exact = len(node.generators) == 1 and not node.generators[0].ifs
        if exact:
            generator = node.generators[0]
            sequence = self.iterate(generator.iter, inner)
            if sequence.items is not None and len(sequence.items) <= _MAX_UNROLL:
                items = []
                for item in sequence.items:
                    self.assign(generator.target, item, inner)
                    items.append(self.evaluate(node.elt, inner))
                return Sequence(kind, items, UNKNOWN)
            self.assign(generator.target, element_of(sequence), inner)
        else:
            self._bind_generators(node.generators, inner)
        return Sequence(kind, None, self.evaluate(node.elt, inner))

    def _dict_comprehension(self, node: ast.DictComp, frame: Frame) -> Value:
        inner = frame.fork()
        self._bind_generators(node.generators, inner)
        self._check_keys([self.evaluate(node.key, inner)], node.key, inner, "dict key")
        return Mapping(None, self.evaluate(node.value, inner))

    def _bind_generators(self, generators: list[ast.comprehension], frame: Frame) -> None:
        for generator in generators:
            self.assign(generator.target, element_of(self.iterate(generator.iter, frame)), frame)
            for test in generator.ifs:
                self.decide(test, frame, "comprehension condition")

    def _call(self, node: ast.Call, frame: Frame) -> Value:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and "super" not in frame.variables:
            if len(node.args) == 1:
                self.emit(LibraryCall, node, frame, name="builtins.super")
            return Parent(frame.receiver, frame.owner) if frame.receiver and frame.owner else UNKNOWN
        callee = self.evaluate(node.func, frame)
        args: list[Value] = []
        kwargs: dict[str, Value] = {}
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                sequence = self.as_sequence(self.evaluate(argument.value, frame))
                if sequence.items is None:
                    kwargs["..."] = sequence.element
                else:
                    args += sequence.items
            else:
                args.append(self.evaluate(argument, frame))
        for keyword in node.keywords:
            value = self.evaluate(keyword.value, frame)
            if keyword.arg is not None:
                kwargs[keyword.arg] = value
            elif isinstance(value, Mapping) and value.items is not None:
                kwargs.update({str(k): v for k, v in value.items.items()})
            else:
                kwargs["..."] = value.element if isinstance(value, Mapping) else UNKNOWN
        if not self.quiet and isinstance(node.func, ast.Attribute) and node.func.attr in state.CHANGES:
            state.mutate(self, node, args, frame)
        result = self.call(callee, args, kwargs, node, frame)
        if isinstance(callee, _NOT_FOLLOWED):
            return self._with_origins(callee, args, kwargs, result, node, frame)
        return result

    def _with_origins(
        self, callee: Value, args: list[Value], kwargs: dict[str, Value], result: Value, node: Located, frame: Frame
    ) -> Value:
        """The result of a call that is not followed: it comes from wherever the arguments come from."""
        origins = origins_of(callee, *args, *kwargs.values())
        receiver = callee.receiver if isinstance(callee, Method) else callee
        if isinstance(callee, Method):
            origins |= origins_of(receiver)
        if origins and not self.quiet and _goes_into_graph(callee, receiver, args):
            self.influence(node, frame, origins, "argument")
        return decided(result, origins)


#: Callables whose body is not interpreted.
_NOT_FOLLOWED = (External, Method, Static, Layer, Partial)


def _goes_into_graph(callee: Value, receiver: Value, args: list[Value]) -> bool:
    """Whether plain arguments of a call become constants of the graph."""
    name = callee.name if isinstance(callee, External) else ""
    if name.startswith("torch.") or name == "builtins.range" or isinstance(receiver, Layer):
        return True
    return any(isinstance(o, Tensor) for v in (receiver, *args) for o in options(v))


def _over_one_divisor(left: Value, right: Value) -> tuple[Size | None, Size | None]:
    """Two numbers times whatever they are divided by, as sizes that compare as they do."""
    (a, above), (b, below) = _fraction(left), _fraction(right)
    return (a * below, b * above) if a is not None and b is not None else (a, b)


def _fraction(value: Value) -> tuple[Size | None, Size]:
    """A number as a quotient of sizes, before it is rounded off; the divisor is a positive number."""
    if not isinstance(value, Float):
        return as_size(value), operators.ONE
    atom = value.size.terms[0][0][0] if [len(m) for m, _ in value.size.terms] == [1] else None
    if atom is not None and len(atom) == 3 and atom[1] == "floordiv" and value.size.terms[0][1] == 1:
        top, bottom = atom[2]
        if (bottom.constant or 0) > 0:
            return top, bottom
    return value.size, operators.ONE


def _fold(op: ast.operator, left: Const, right: Const) -> Value:
    operation = _ARITHMETIC.get(type(op))
    a, b = left.value, right.value
    if operation is None or (isinstance(op, (ast.Pow, ast.LShift)) and isinstance(b, int) and abs(b) > _MAX_BITS):
        return UNKNOWN
    if isinstance(op, ast.Mult) and not (isinstance(a, (int, float)) and isinstance(b, (int, float))):
        return Static("repeated", "str")
    try:
        result = operation(a, b)
    except (TypeError, ValueError, ArithmeticError, MemoryError):
        return UNKNOWN
    is_large = isinstance(result, int) and result.bit_length() > _MAX_BITS
    if is_large or (isinstance(result, str) and len(result) > 1000):
        return Static("large", type(result).__name__)
    return Const(result)


def _identical(left: Value, right: Value) -> bool | None:
    """`left is right` where it can be told: mostly a comparison with None."""
    if isinstance(left, Const) and isinstance(right, Const):
        return left.key == right.key
    if NONE in (left, right):
        other = right if left == NONE else left
        if isinstance(other, Choice):
            return None
        return None if isinstance(other, (Static, Unknown)) else False
    if isinstance(left, (Class, Instance)) and isinstance(right, (Class, Instance)):
        return left.key == right.key if not getattr(left, "typed", False) else None
    return None


def _outruns(bounds: list[Value | None], tensor: Tensor) -> bool:
    """Whether a slice counted from the end takes dimensions that an assumed rank does not have, or just its first."""
    rank = len(tensor.shape or ())
    return any(isinstance(b, Const) and isinstance(b.value, int) and b.value <= -max(rank, 2) for b in bounds)


@lru_cache(maxsize=CACHED_NODES)
def _is_plain_function(binding: Binding) -> bool:
    return isinstance(binding, FunctionInfo) and not getattr(binding.node, "decorator_list", ())


def _decorator_names(info: FunctionInfo) -> set[str]:
    node = info.node
    if isinstance(node, ast.Lambda):
        return set()
    return {ast.unparse(d).partition("(")[0] for d in node.decorator_list}


_HANDLERS: dict[type[ast.expr], Callable[..., Value]] = {
    ast.Constant: Expressions._constant,
    ast.Name: Expressions._name,
    ast.Tuple: Expressions._tuple,
    ast.List: Expressions._tuple,
    ast.Set: Expressions._tuple,
    ast.Dict: Expressions._dict,
    ast.Lambda: Expressions._lambda,
    ast.IfExp: Expressions._if_expression,
    ast.NamedExpr: Expressions._named,
    ast.Starred: Expressions._starred,
    ast.Yield: Expressions._yield,
    ast.YieldFrom: Expressions._yield,
    ast.Await: Expressions._yield,
    ast.JoinedStr: Expressions._formatted,
    ast.Attribute: Expressions._attribute,
    ast.Subscript: Expressions._subscript,
    ast.UnaryOp: Expressions._unary,
    ast.BinOp: Expressions._binary,
    ast.BoolOp: Expressions._boolean,
    ast.Compare: Expressions._compare,
    ast.ListComp: Expressions._comprehension,
    ast.SetComp: Expressions._comprehension,
    ast.GeneratorExp: Expressions._comprehension,
    ast.DictComp: Expressions._dict_comprehension,
    ast.Call: Expressions._call,
}
