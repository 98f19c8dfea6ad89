"""The abstract interpreter: calls functions, builds objects and looks up names over abstract values.

It follows a compiled region as TorchDynamo would: conditions on configuration are decided where they can be, and both
arms are followed where they cannot; conditions on sizes and on tensor data become events. Each function is interpreted
once for each distinct abstract input. Statements and expressions are in modules of their own.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterable
from dataclasses import replace

from vllm_lint.analyzer import builtin_calls, operators, registering, special_calls, state, untraceable
from vllm_lint.analyzer.cache_key import CacheKey, Missing
from vllm_lint.analyzer.calls import Call
from vllm_lint.analyzer.context import Frame, path_to
from vllm_lint.analyzer.events import LibraryCall
from vllm_lint.analyzer.findings import Step
from vllm_lint.analyzer.index import Assignment, Binding, ClassInfo, FunctionInfo, Import, ModuleInfo
from vllm_lint.analyzer.objects import Objects
from vllm_lint.analyzer.origins import ENVIRONMENT, FIELD, NO_ORIGINS, Origin, Origins
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.recording import Recording
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    NONE,
    UNKNOWN,
    Bool,
    Choice,
    Class,
    External,
    Function,
    Instance,
    Int,
    Layer,
    Mapping,
    Method,
    Module,
    Partial,
    Sequence,
    Static,
    Tensor,
    Unbacked,
    Unknown,
    Value,
    choice,
    clock,
    decided,
    is_static,
    options,
    tainted,
    trail_of,
    widened,
)
from vllm_lint.analyzer.worlds import Outcome, World

_MAX_DEPTH = 60
#: Calls interpreted for one root before the rest stays unknown; real vLLM roots take a few thousand.
_BUDGET = 60_000

#: Decorators that leave a function as it is, as far as a compiled region can tell.
_TRANSPARENT = {
    "staticmethod",
    "classmethod",
    "property",
    "functools.lru_cache",
    "functools.cache",
    "functools.cached_property",
    "functools.wraps",
    "contextlib.contextmanager",
    "typing.override",
    "typing.overload",
    "typing.final",
    "typing_extensions.override",
    "abc.abstractmethod",
    "torch.no_grad",
    "torch.inference_mode",
    "torch.compile",
    "torch.jit.script",
    "torch.compiler.allow_in_graph",
    "vllm.ir.op.register_op",
    # These hand on what they are given, by keywords that they look up in signatures.
    "transformers.utils.generic.can_return_tuple",
    "transformers.utils.generic.merge_with_config_defaults",
    "transformers.utils.generic.check_model_inputs",
    "transformers.utils.generic.accepts_precomputed_kwargs",
    "transformers.utils.output_capturing.capture_outputs",
    "transformers.utils.output_capturing.filter_output_hidden_states",
    "transformers.utils.auto_docstring.auto_docstring",
    "transformers.integrations.hub_kernels.use_kernel_func_from_hub",
    "transformers.integrations.hub_kernels.use_kernel_func_from_hub_with_fallback",
}

#: What stands for the calling of such a function.
_OPAQUE_FUNCTION = External("vllm_lint.opaque")

#: Decorators whose functions TorchDynamo does not trace into.
_OPAQUE = {
    "torch.library.custom_op",
    "torch.library.triton_op",
    "torch.library.impl",
    # vLLM does not compile where it breaks CUDA graphs; elsewhere it stands on what operators do.
    "vllm.compilation.breakable_cudagraph.eager_break_during_capture",
    "triton.jit",
    "triton.autotune",
    "triton.heuristics",
}


#: Decorators that tell TorchDynamo not to trace into a function, which is then none that a full graph may call.
_DISABLING = {"torch.compiler.disable", "torch._dynamo.disable", "torch._disable_dynamo"}


#: Decorators that have the result of a function taken for a constant.
_ASSUMING = {"torch.compiler.assume_constant_result", "torch._dynamo.assume_constant_result"}
#: Decorators that have a function in the graph without tracing it.
_NONSTRICT = {"torch._dynamo.nonstrict_trace", "torch.compiler.nonstrict_trace"}


_UNFINISHED: Outcome | None = Outcome({"": UNKNOWN}, (), True)


class Interpreter(Objects):
    """Interprets the code reachable from compiled roots, and records what it sees."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        project.resolve_base = self._bases
        self._cache_key = CacheKey(self)

    # What the cache key holds

    def environment_origins(
        self, name: str, node: Located, frame: Frame, *, by_vllm: bool = False, presence: bool = False
    ) -> Origins:
        """The origin of the value of an environment variable that is read at `node`; empty if the key holds it."""
        missing = self._cache_key.environment(name, by_vllm=by_vllm, presence=presence)
        return _origins(ENVIRONMENT, name, missing, node, frame)

    def field_origins(self, cls: ClassInfo, name: str, node: Located, frame: Frame) -> Origins:
        """The same for a field of a configuration."""
        return _origins(FIELD, f"{cls.name}.{name}", self._cache_key.field(cls, name), node, frame)

    # Names

    def lookup(self, name: str, frame: Frame) -> Value:
        """What `name` means in `frame`."""
        if name in frame.variables:
            return frame.variables[name]
        scope = frame.scope
        while scope is not None:
            if name in scope.variables:
                return scope.variables[name]
            scope = scope.parent
        found = self.module_attribute(frame.module, name)
        if found is not None:
            return found
        return External(f"builtins.{name}") if name in builtin_calls.NAMES else Unknown(f"name {name}")

    def module_attribute(self, module: ModuleInfo, name: str) -> Value | None:
        """The value of a module-level name; None if the module has no such name."""
        special = special_calls.GLOBALS.get(f"{module.name}.{name}")
        if special is not None:
            return special

        def bound() -> Outcome | None:
            with self.apart(World()) as world:
                value = self._bound(module, name)
                return None if value is None else self.outcome({"": value}, world)

        key = ("name", id(module), name)
        outcome = self.project.shared.once(key, bound, _UNFINISHED)  # a name may be defined by way of itself
        if outcome is None:
            return None
        if outcome.is_plain:
            return outcome.values[""]
        known = self.world.values.get(key)
        if known is None:
            known = self.world.values[key] = (self.adopted(outcome)[""], 0)
        return known[0]

    def _bound(self, module: ModuleInfo, name: str) -> Value | None:
        bindings = module.bindings.get(name)
        frame = Frame(module, {})
        if name in module.rebound:
            annotation = module.annotations.get(name)
            return self.from_annotation(annotation, frame, name) if annotation else Static(f"{module.name}.{name}")
        # `from . import name` in a package's __init__ means the submodule
        itself = (module.name, name)
        own = [b for b in bindings or () if not (isinstance(b, Import) and (b.module, b.attribute) == itself)]
        if own:
            return choice(_superseded([self.binding_value(b, frame) for b in own]))
        for star in module.star_imports:
            target = self.project.module(star)
            found = self.module_attribute(target, name) if target else None
            if found is not None:
                return found
        if module.is_package:
            submodule = self.project.module(f"{module.name}.{name}")
            if submodule is not None:
                return Module(submodule)
        return None

    def binding_value(self, binding: Binding, frame: Frame, receiver: Value | None = None) -> Value:
        """The value of a definition, import or assignment at the top level of a module or class."""
        if isinstance(binding, ClassInfo):
            return Class(binding)
        if isinstance(binding, FunctionInfo):
            value = self.decorated(Function(binding, receiver, owner=frame.owner), frame)
            if receiver is None or not isinstance(value, Function) or value.receiver is not None:
                return value
            # A wrapper takes the receiver as its first argument, and hands it on.
            plain = self.decorated(Function(binding, owner=frame.owner), frame)
            return replace(plain, receiver=receiver) if isinstance(plain, Function) else plain
        if isinstance(binding, Import):
            return self.imported(binding)
        assert isinstance(binding, Assignment)
        with self.silently():
            value = self.evaluate(binding.value, frame)
            for index in binding.path:
                value = self.item(value, index)
        return _settled(value, binding.value, frame.module)

    def imported(self, binding: Import) -> Value:
        """The value of an import."""
        whole = binding.module if binding.attribute is None else f"{binding.module}.{binding.attribute}"
        if whole in special_calls.GLOBALS:
            return special_calls.GLOBALS[whole]
        module = self.project.module(binding.module)
        if binding.attribute is None:
            return Module(module) if module else External(binding.module)
        if module is not None:
            found = self.module_attribute(module, binding.attribute)
            if found is not None:
                return found
        submodule = self.project.module(whole)
        return Module(submodule) if submodule is not None else External(whole)

    def decorated(self, function: Function, frame: Frame) -> Value:
        """What a function is once its decorators are applied."""
        node = function.info.node
        if isinstance(node, ast.Lambda) or not node.decorator_list:
            return function
        key = ("decorated", function.key, id(function.owner))
        if key in self.world.values:
            known, questions = self.world.values[key]
            self.project.shared.touched |= questions
            return known
        self.world.values[key] = (function, 0)
        outer = self._start_recording()
        value: Value = function
        for decorator, name in zip(reversed(node.decorator_list), self._decorators(function.info, frame), strict=False):
            if not self.quiet:
                registering.decorate(self, function, decorator, name, frame)
            if name in _OPAQUE:
                value = Partial(_OPAQUE_FUNCTION, (function,), ())
                break
            if name in _DISABLING:
                value = Partial(operators.DISABLED, (function,), ())
                break
            if name in _ASSUMING:
                value = Partial(operators.ASSUMED, (function,), ())
                break
            if name in _NONSTRICT:
                value = special_calls.call_external(self, name, [function], {}, decorator, frame)
                break
            if name in _TRANSPARENT or name.endswith((".setter", ".register", ".register_fake")):
                continue
            with self.silently():
                wrapped = self.call(self.evaluate(decorator, frame), [value], {}, decorator, frame)
            if isinstance(wrapped, (Function, Partial, Choice)):
                value = wrapped
        self.world.values[key] = (value, self._end_recording(outer).questions)
        return value

    def _decorators(self, info: FunctionInfo, frame: Frame) -> list[str]:
        """Names of the decorators of a function, the innermost first."""
        nodes = reversed(getattr(info.node, "decorator_list", []))
        if frame.info is not None or frame.variables:
            return [self.qualified_name(d, frame) for d in nodes]

        def names() -> list[str]:
            with self.apart(World()):
                return [self.qualified_name(d, frame) for d in nodes]

        return self.project.shared.once(("decorators", info), names, [])

    def qualified_name(self, node: ast.expr, frame: Frame) -> str:
        """The dotted name of what an expression refers to, calls and subscripts stripped; "" if it has none."""
        if isinstance(node, ast.Call):
            return self.qualified_name(node.func, frame)
        if isinstance(node, ast.Name) and node.id in ("staticmethod", "classmethod", "property"):
            return node.id
        with self.silently():
            value = self.evaluate(node, frame)
        if isinstance(value, Partial) and value.arguments:
            value = value.function
        if isinstance(value, External):
            return value.name.removeprefix("builtins.")
        if isinstance(value, Function):
            return value.info.qualified_name
        if isinstance(value, Class):
            return value.cls.qualified_name
        return ast.unparse(node)

    # Classes and objects

    def _bases(self, cls: ClassInfo) -> list[ClassInfo | str]:
        frame = Frame(cls.module, {})
        found: list[ClassInfo | str] = []
        for node in cls.node.bases:
            base: ast.expr = node
            while isinstance(base, ast.Subscript):
                base = base.value
            with self.apart(World()):
                value = self.evaluate(base, frame)
            for option in value.options if isinstance(value, Choice) else (value,):
                if isinstance(option, Class) and option.cls is not cls:
                    found.append(option.cls)
                elif isinstance(option, External):
                    found.append(option.name)
        return found

    def member(self, cls: ClassInfo, name: str, after: ClassInfo | None = None) -> tuple[ClassInfo, Binding] | None:
        """Where `name` is found along the method resolution order, from behind `after` if that is given."""
        order = self.project.linearization(cls)
        if after is not None and after in order:
            order = order[order.index(after) + 1 :]
        for base in order:
            if not isinstance(base, str) and name in base.members:
                return base, base.members[name][-1]
        return None

    def external_bases(self, cls: ClassInfo) -> list[str]:
        """Library classes among the bases."""
        return [b for b in self.project.linearization(cls) if isinstance(b, str)]

    def from_annotation(self, annotation: ast.expr | None, frame: Frame, label: str = "") -> Value:
        """A value of the annotated type, fixed at capture as far as the type allows that."""
        if annotation is None:
            return Static(label)
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            try:
                annotation = ast.parse(annotation.value, mode="eval").body
            except SyntaxError:
                return UNKNOWN
        if isinstance(annotation, ast.Constant):
            return NONE if annotation.value is None else Static(label)
        if isinstance(annotation, ast.BinOp):
            return choice(self.from_annotation(a, frame, label) for a in (annotation.left, annotation.right))
        if isinstance(annotation, ast.Subscript):
            return self._from_generic(annotation, frame, label)
        with self.silently():
            value = self.evaluate(annotation, frame)
        if isinstance(value, Choice):  # only type checkers see the class, others `Any`
            value = next((o for o in value.options if isinstance(o, Class)), value)
        if isinstance(value, Class):
            if any(b.startswith("enum.") for b in self.external_bases(value.cls)):
                return Static(label or value.cls.name)
            return self.instance_of(value.cls)
        if isinstance(value, External):
            if value.name in operators.TENSOR_TYPES:
                return Tensor(exact=False)
            name = value.name.removeprefix("builtins.")
            return Static(label, name if name in ("int", "float", "bool", "str") else "")
        return Static(label)

    def _from_generic(self, annotation: ast.Subscript, frame: Frame, label: str) -> Value:
        head = ast.unparse(annotation.value).rpartition(".")[2]
        arguments = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if head in ("Optional", "Union"):
            values = [self.from_annotation(a, frame, label) for a in arguments]
            return choice([*values, NONE] if head == "Optional" else values)
        if head in ("list", "List", "Sequence", "Iterable", "set", "tuple", "Tuple", "Iterator", "Generator"):
            fixed = head in ("tuple", "Tuple") and not (
                isinstance(arguments[-1], ast.Constant) and arguments[-1].value is ...
            )
            items = [self.from_annotation(a, frame, f"{label}[{i}]") for i, a in enumerate(arguments)]
            return Sequence("tuple", items, UNKNOWN) if fixed else Sequence("list", None, items[0])
        if head in ("dict", "Dict", "Mapping"):
            return Mapping(None, self.from_annotation(arguments[-1], frame, label))
        if head in ("Annotated", "Final", "ClassVar", "SkipValidation"):
            return self.from_annotation(arguments[0], frame, label)
        if head in ("type", "Type", "Callable", "Literal"):
            return Static(label, "str" if head == "Literal" else "")
        return self.from_annotation(annotation.value, frame, label)

    # Calls

    def call(self, callee: Value, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
        """The result of calling `callee`."""
        if isinstance(callee, Function):
            return self.call_function(callee, args, kwargs, node, frame)
        if isinstance(callee, Choice):
            several = [o for o in callee.options if o != NONE]  # None is not called, whatever chooses it
            origins = callee.origins if len(several) > 1 else NO_ORIGINS
            self.influence(node, frame, origins, "call")
            with self.alternatively():
                result = choice([self.call(o, args, kwargs, node, frame) for o in several] or [UNKNOWN])
            return decided(result, origins)
        if isinstance(callee, Class):
            return self._call_class(callee.cls, args, kwargs, node, frame)
        if isinstance(callee, Instance):
            return self._call_instance(callee, args, kwargs, node, frame)
        if isinstance(callee, Partial):
            return self._call_partial(callee, args, kwargs, node, frame)
        if isinstance(callee, Method):
            return builtin_calls.call_method(self, callee, args, kwargs, node, frame)
        if isinstance(callee, Layer):
            if not self.quiet and untraceable.kind_of(f"{callee.name}.forward") is not None:
                self.emit(LibraryCall, node, frame, name=f"{callee.name}.forward")
            return operators.call_layer(self, callee, args, kwargs, node, frame)
        if isinstance(callee, External):
            return special_calls.call_external(self, callee.name, args, kwargs, node, frame)
        values = [*args, *kwargs.values()]
        if not self.quiet:
            self.not_followed(node, frame, self.text(node, frame))
        if isinstance(callee, Static):
            if callee.label in special_calls.STATIC_CALLS:
                return special_calls.STATIC_CALLS[callee.label]
            if callee.label == f"{special_calls.ENVIRONMENT}.is_set" and args:
                return special_calls.is_in_environment(self, args[0], node, frame)
            if all(is_static(v) for v in values):
                return Static(f"{callee.label}({', '.join(getattr(a, 'label', '') for a in args)})")
            return Unknown("call of configuration")
        return Unknown("call of unknown", tainted=any(tainted(v) for v in values))

    def _call_partial(
        self, partial: Partial, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
    ) -> Value:
        if partial.function == _OPAQUE_FUNCTION:
            state.hand_over(self, partial.arguments[0], node, frame)
        if partial.function == operators.ASSUMED and any(map(_is_no_constant, args)):
            self.emit(LibraryCall, node, frame, name="torch.compiler.assume_constant_result")
        if partial.function in (_OPAQUE_FUNCTION, operators.DISABLED, operators.NONSTRICT, operators.ASSUMED):
            if partial.function == operators.DISABLED:
                self.emit(LibraryCall, node, frame, name="torch.compiler.disable")
            result = self.opaque_result(partial.arguments[0], args)
            if partial.function == operators.NONSTRICT:
                for what, values in (("argument", [*args, *kwargs.values()]), ("result", [result])):
                    if any(map(self._is_plain_object, values)):
                        self.emit(LibraryCall, node, frame, name=f"torch._dynamo.nonstrict_trace.{what}")
            return result
        merged = {**dict(partial.keywords), **kwargs}
        return self.call(partial.function, [*partial.arguments, *args], merged, node, frame)

    def _is_plain_object(self, value: Value) -> bool:
        """Whether a value is an object of a class of the program that is no module."""
        return isinstance(value, Instance) and not any(
            b.startswith("torch.nn.") for b in self.external_bases(value.cls)
        )

    def _call_class(
        self, cls: ClassInfo, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
    ) -> Value:
        special = special_calls.CALLS.get(cls.qualified_name)
        if special is not None:
            return special(Call(self, cls.qualified_name, args, kwargs, node, frame))
        if not self.quiet and self._is_pydantic(cls):
            self.emit(LibraryCall, node, frame, name="pydantic.BaseModel")
        if not self.quiet and _has_optional_keys(cls) and "TypedDict" in ast.unparse(cls.node.bases[0]):
            self.emit(LibraryCall, node, frame, name="typing.TypedDict")
        if not self.quiet and self._is_parametrized(node, frame):
            self.emit(LibraryCall, node, frame, name="typing.Generic")
        return self.instantiate(cls, args, kwargs)

    def _is_parametrized(self, node: Located, frame: Frame) -> bool:
        """Whether a call is one of `Class[...]`."""
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Subscript):
            return False
        with self.silently():
            return isinstance(self.evaluate(node.func.value, frame), Class)

    def _is_pydantic(self, cls: ClassInfo) -> bool:
        """Whether pydantic checks what objects of `cls` are made from."""
        decorators = [self.qualified_name(d, Frame(cls.module, {})) for d in cls.node.decorator_list]
        return any(name.startswith("pydantic.") for name in (*self.external_bases(cls), *decorators))

    def _call_instance(
        self, instance: Instance, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
    ) -> Value:
        for name in ("__call__", "forward"):
            found = self.member(instance.cls, name)
            if name in instance.attributes:
                return self.call(instance.attributes[name], args, kwargs, node, frame)
            if found is not None:
                return self.call(self.attribute(instance, name, node, frame), args, kwargs, node, frame)
        layer = instance.attributes.get("__layer__")
        if layer is not None:
            return self.call(layer, args, kwargs, node, frame)
        if special_calls.CUSTOM_OP in self.external_bases(instance.cls):
            dispatched = special_calls.dispatch_forward(Call(self, "dispatch_forward", [instance], {}, node, frame))
            return self.call(dispatched, args, kwargs, node, frame)
        return Unknown("call of an object", tainted=any(tainted(v) for v in (*args, *kwargs.values())))

    def call_function(
        self, function: Function, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
    ) -> Value:
        """Interpret a function of the program; a result is reused for equal abstract arguments."""
        info = function.info
        if _takes_receiver(function, args):
            function, args = replace(function, receiver=args[0]), args[1:]
        receiver = function.receiver
        special = special_calls.CALLS.get(info.qualified_name)
        if special is not None:
            bound = args if receiver is None else [receiver, *args]
            return special(Call(self, info.qualified_name, bound, kwargs, node, frame))
        agreed: Value | None = None
        if info.qualified_name in special_calls.CHOOSES_IMPLEMENTATION:
            return self._declared_result(function, args)
        if isinstance(receiver, Instance):
            if special_calls.sets_up_weights(self.project, receiver.cls, info.name):
                return NONE
            if receiver.typed and info.is_abstract:
                return self._call_overrides(function, receiver, args, kwargs, node, frame)
            shared = special_calls.shared_method(self.project, receiver.cls, info.name)
            if shared is not None:
                agreed = shared(receiver, args, kwargs)
                if agreed is not None and not self.project.is_checked(info.module):
                    return agreed
                args, kwargs = self._generalized(args, kwargs)
                receiver = self.instance_of(receiver.cls)
                function = replace(function, receiver=receiver)
            elif info.name == "forward" and special_calls.constructed_by_type(self.project, receiver.cls):
                args, kwargs = [widened(a) for a in args], {k: widened(v) for k, v in kwargs.items()}
        if receiver is not None:
            args = [receiver, *args]
        if not _accepts(info, args, kwargs):
            return Unknown("cannot be called like this")  # so what stands here at run time is something else
        result = self._shared_result(function, args, kwargs, node) if self.quiet else None
        if result is None:
            variables = self._bind(function, args, kwargs, node, frame)
            result = self._interpret(function, variables, args, node, frame)
        return result if agreed is None else agreed

    def _shared_result(
        self, function: Function, args: list[Value], kwargs: dict[str, Value], node: Located
    ) -> Value | None:
        """The result of a call that is not listened to, from whichever world made it first.

        None if the call takes something that only this world has, or can change it.
        """
        arguments = None if function.scope is not None else self.description(args, kwargs, changeable=False)
        if arguments is None:
            return None

        def interpret() -> Outcome:
            with self.apart(World()) as world:
                given = [self.adopt(a) for a in args]
                named = {k: self.adopt(v) for k, v in kwargs.items()}
                inner = function if function.receiver is None else replace(function, receiver=given[0])
                home = Frame(function.info.module, {})
                variables = self._bind(inner, given, named, node, home)
                return self.outcome({"": self._interpret(inner, variables, given, node, home)}, world)

        key = ("call", function.info, function.owner, function.receiver is None, arguments)
        outcome = self.project.shared.once(key, interpret, None)
        if outcome is None:
            return self._declared_result(function, args)
        return outcome.values[""] if outcome.is_plain else self.adopted(outcome)[""]

    def _interpret(
        self, function: Function, variables: dict[str, Value], args: list[Value], node: Located, frame: Frame
    ) -> Value:
        """The result of a function's body, interpreted once for equal parameters and modes."""
        info = function.info
        key = (
            function.key,
            id(function.owner),
            tuple((k, v.key) for k, v in variables.items()),
            self.quiet > 0,
            self.alternatives > 0,
            self.contract,
            self.assumes,
        )
        if key in self.world.results:
            self._repeat(key, variables.values(), function, node, frame)
            return self.world.results[key]
        self.world.calls += 1
        if key in self.world.running or self.world.depth >= _MAX_DEPTH or self.world.calls > _BUDGET:
            return self._declared_result(function, args)
        since = next(clock)
        inner = Frame(
            info.module,
            variables,
            info,
            function.scope,
            function.receiver,
            function.owner,
            caller=frame,
            call=self._call_step(function, node, frame),
            order=since,
        )
        self.world.running.add(key)
        self.world.depth += 1
        modes = (self.conditions, self.asserting, self.immaterial, self.deciding)
        self.conditions, self.asserting, self.immaterial = 0, False, False
        construction, unsure = self.construction, self.construction.unsure if self.construction is not None else 0
        outer = self._start_recording()
        if not self.quiet:
            self.recording.functions |= self.function_bits.bit(info)
        try:
            result = self._run(function, inner)
            if isinstance(result, Unknown) and not result.tainted:
                result = self._declared_result(function, args)
        finally:
            self.conditions, self.asserting, self.immaterial, self.deciding = modes
            self.world.recordings[key] = (self._end_recording(outer), since)
            self.world.running.discard(key)
            self.world.depth -= 1
            if construction is not None:
                construction.unsure = unsure
        self.world.results[key] = result
        return result

    def _run(self, function: Function, frame: Frame) -> Value:
        node = function.info.node
        if isinstance(node, ast.Lambda):
            return self.evaluate(node.body, frame)
        if frame.is_root and function.info.is_generator:
            self.emit(LibraryCall, node, frame, name="generator.forward", text=_title(function))
        falls = self.execute(node.body, frame)
        if function.info.is_generator:
            return Sequence("generator", None, choice(frame.yields))
        results = frame.returns + ([NONE] if falls or not frame.returns else [])
        if frame.is_root and any(map(_holds_new_id, results)):
            self.emit(LibraryCall, node, frame, name="builtins.id.returned", text=_title(function))
        if function.info.is_abstract:
            return UNKNOWN
        if isinstance(node.returns, ast.Name) and node.returns.id == "bool":
            frame.deciders.update(*(v.origins for v in results if isinstance(v, Choice)))
            results = [replace(r, type="bool") if isinstance(r, Static) else r for v in results for r in options(v)]
        result = choice(results)
        # Where something else than None is asked of one of several values, that is not what chose among them.
        absence = frame.absence if len(options(result)) <= 2 else set()
        return decided(result, frozenset(frame.deciders | absence))

    def _call_overrides(
        self,
        function: Function,
        receiver: Instance,
        args: list[Value],
        kwargs: dict[str, Value],
        node: Located,
        frame: Frame,
    ) -> Value:
        """Call an abstract method: any subclass's may be meant."""
        shared = special_calls.shared_method(self.project, receiver.cls, function.info.name)
        agreed = shared(receiver, args, kwargs) if shared is not None else None
        if agreed is not None and (self.quiet or not self.project.is_checked(function.info.module)):
            return agreed
        declared = self._declared_result(function, args)
        if self.quiet and declared == NONE:
            return NONE  # a procedure in a constructor: creating weights, mostly
        args, kwargs = self._generalized(args, kwargs)
        model = special_calls.model_of(frame.module)
        key = (
            "overrides",
            receiver.cls.qualified_name,
            function.info.name,
            tuple(a.key for a in args),
            tuple((k, v.key) for k, v in kwargs.items()),
            self.quiet > 0,
            self.contract,
            self.assumes,
            model,
        )
        if key not in self.world.results:
            self.world.results[key] = UNKNOWN  # an override that calls the method on another object of the type
            results = []
            since, outer = next(clock), self._start_recording()
            with self.alternatively():
                for cls in self.project.subclasses(receiver.cls):
                    if special_calls.model_of(cls.module) not in ("", model):
                        continue
                    binding = cls.members.get(function.info.name, [None])[-1]
                    if isinstance(binding, FunctionInfo) and not binding.is_abstract:
                        instance = self.instance_of(cls)
                        override = Function(binding, instance, owner=cls)
                        bound = self.decorated(override, Frame(cls.module, {}, owner=cls))
                        results.append(self.call(bound, args, kwargs, node, frame))
            self.world.recordings[key] = (self._end_recording(outer), since)
            result = choice([r for r in results if not isinstance(r, Unknown)] or [declared])
            self.world.results[key] = declared if isinstance(result, Unknown) else result
        else:
            self._repeat(key, [*args, *kwargs.values()], function, node, frame)
        return self.world.results[key] if agreed is None else agreed

    def opaque_result(self, function: Value, args: list[Value]) -> Value:
        """The result of a function that is not traced into: what its annotation says."""
        return self._declared_result(function, args) if isinstance(function, Function) else UNKNOWN

    def _declared_result(self, function: Function, args: list[Value]) -> Value:
        """A value of the annotated return type, unknown where the annotation does not say enough."""
        node = function.info.node
        if isinstance(node, ast.Lambda) or node.returns is None:
            return Unknown("not interpreted", tainted=any(tainted(a) for a in args))
        value = self.from_annotation(node.returns, Frame(function.info.module, {}), f"{function.info.name}()")
        if isinstance(value, Choice) and any(isinstance(o, Sequence) for o in value.options):
            return UNKNOWN  # one tensor or several: saying nothing beats following both
        if isinstance(value, Static) and any(tainted(a) or isinstance(a, Tensor) for a in args):
            return Unknown("not interpreted", tainted=any(tainted(a) for a in args))
        return value

    def _bind(
        self, function: Function, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
    ) -> dict[str, Value]:
        """The parameters' values; a missing one takes its default, or a value of its annotated type."""
        arguments = function.info.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        bound: dict[str, Value] = {}
        open_call = "..." in kwargs
        rest = {k: v for k, v in kwargs.items() if k != "..."}
        for parameter, value in zip(positional, args, strict=False):
            bound[parameter.arg] = self._passed(value, parameter.arg, function, node, frame)
        for parameter in (*positional, *arguments.kwonlyargs):
            if parameter.arg in rest:
                bound[parameter.arg] = self._passed(rest.pop(parameter.arg), parameter.arg, function, node, frame)
        home = Frame(function.info.module, {}, scope=function.scope, owner=function.owner)
        defaults = dict(zip([a.arg for a in positional[::-1]], arguments.defaults[::-1], strict=False))
        defaults.update(
            {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None}
        )
        for parameter in (*positional, *arguments.kwonlyargs):
            name = parameter.arg
            if name in bound:
                continue
            annotated = self.from_annotation(parameter.annotation, home, name)
            if name in defaults:
                with self.silently():
                    default = self.evaluate(defaults[name], home)
                # Where the caller is not known any value of the type may come, or the default.
                typed = open_call and annotated != Static(name)
                bound[name] = choice([default, annotated]) if typed else default
            else:
                bound[name] = annotated
        if arguments.vararg:
            extra = args[len(positional) :]
            bound[arguments.vararg.arg] = Sequence("tuple", None if open_call else list(extra), UNKNOWN)
        if arguments.kwarg:
            bound[arguments.kwarg.arg] = Mapping(None if open_call else dict(rest), choice(rest.values()))
        return bound

    def _passed(self, value: Value, name: str, function: Function, node: Located, frame: Frame) -> Value:
        """An argument as the callee sees it: a token count gets a step for the call."""
        if self.quiet or not isinstance(value, Int) or value.trail is None or not value.size.depends:
            return value
        message = f"passed to `{_title(function)}` as `{name}`"
        return Int(value.size, self.step(value, node, frame, message), value.inputs, value.exact)

    def _start_recording(self) -> tuple[Recording, int]:
        outer = (self.recording, self.project.shared.touched)
        self.recording, self.project.shared.touched = Recording(), 0
        return outer

    def _end_recording(self, outer: tuple[Recording, int]) -> Recording:
        """Go on with the recording that was interrupted, with what happened since."""
        part = self.recording
        part.questions |= self.project.shared.touched
        self.recording, touched = outer
        self.project.shared.touched = touched | part.questions
        self.recording.join(part, conditional=self.conditions > 0)
        return part

    def _call_step(self, function: Function, node: Located, frame: Frame) -> Step | None:
        """The step that calling `function` is; none for the call of a root itself."""
        if self.quiet or frame.info is None:
            return None
        return Step(frame.module.source.span(node), f"calls `{_title(function)}`")

    def _repeat(self, key: Hashable, values: Iterable[Value], function: Function, node: Located, frame: Frame) -> None:
        """Record again what happened on the way to a result, as seen from `frame`."""
        recording, since = self.world.recordings.get(key, (None, 0))
        if recording is None:
            return
        self.project.shared.touched |= recording.questions
        self.recording.functions |= recording.functions
        self.recording.unresolved |= recording.unresolved
        above = self.conditions > 0
        fresh = [
            (event, path, above or conditional)
            for event, path, conditional in recording.events.values()
            if self.recording.is_news(event, conditional=above or conditional)
        ]
        if not fresh:
            return
        counted = sorted(values, key=lambda v: not isinstance(v, (Int, Bool)))
        trail = next((t for t in map(trail_of, counted) if t), None)
        outside = path_to(trail, frame)
        step = self._call_step(function, node, frame)
        if step is not None and all(s.span != step.span for _, s in outside):
            outside = (*outside, (next(clock), step))
        for event, path, conditional in fresh:
            inside = sorted((s for s in path if s[0] > since), key=lambda s: s[0])
            steps = (*outside, *((next(clock), s) for _, s in inside))
            self.recording.add(event, steps, conditional=conditional)

    def start_root(self, budget: int = _BUDGET) -> None:
        """Begin to record what one root reaches, in so many calls; results are kept."""
        self.recording = Recording()
        self.world.state.forget()
        self.world.calls = _BUDGET - budget


def _origins(kind: str, name: str, missing: Missing | None, node: Located, frame: Frame) -> Origins:
    if missing is None:
        return NO_ORIGINS
    read = frame.module.source.span(node)
    return frozenset({Origin(kind, name, read, missing.reason, missing.declared, missing.certain)})


def _accepts(info: FunctionInfo, args: list[Value], kwargs: dict[str, Value]) -> bool:
    """Whether the parameters take these arguments, as far as their number and names go."""
    arguments = info.node.args
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    if len(args) > len(positional) and not arguments.vararg:
        return False
    if "..." in kwargs:
        return True
    names = {*positional, *(a.arg for a in arguments.kwonlyargs)}
    if not arguments.kwarg and any(k not in names for k in kwargs):
        return False
    required = positional[len(args) : len(positional) - len(arguments.defaults)]
    return all(name in kwargs for name in required)


def _has_optional_keys(cls: ClassInfo) -> bool:
    """Whether a typed dict is declared with `total=False`."""
    return any(k.arg == "total" and getattr(k.value, "value", True) is False for k in cls.node.keywords)


def _is_no_constant(value: Value) -> bool:
    """Whether an argument has no value while the graph is captured: a number from a tensor, a list of tensors."""
    if isinstance(value, Sequence):
        return any(isinstance(v, Tensor) or _is_no_constant(v) for v in value.items or ())
    return isinstance(value, Unbacked)


def _holds_new_id(value: Value) -> bool:
    return value is operators.NEW_ID or (isinstance(value, Sequence) and any(map(_holds_new_id, value.items or ())))


def _title(function: Function) -> str:
    return f"{function.owner.name}.{function.info.name}" if function.owner else function.info.name


def _takes_receiver(function: Function, args: list[Value]) -> bool:
    """Whether a method is called as `Class.method(self)`, or by what decorates it."""
    if function.receiver is not None or function.owner is None or not args or not isinstance(args[0], Instance):
        return False
    names = [d.id for d in getattr(function.info.node, "decorator_list", ()) if isinstance(d, ast.Name)]
    return "staticmethod" not in names


def _superseded(values: list[Value]) -> list[Value]:
    """What a name means that is bound several times, in order.

    A custom operator that takes the place of an earlier definition is what compiled code is meant to call; the earlier
    one stands in where the operator's library is missing, and with it what calls it.
    """
    for position in range(len(values) - 1, 0, -1):
        value = values[position]
        if isinstance(value, Partial) and value.function == _OPAQUE_FUNCTION:
            return values[position:]
    return values


def _settled(value: Value, node: ast.expr, module: ModuleInfo) -> Value:
    """What a module-level value is taken for: fixed at capture, as guards on globals are dropped.

    An empty container is a registry that others fill.
    """
    is_registry = isinstance(value, (Sequence, Mapping)) and value.items is not None and not value.items
    if is_registry or (isinstance(value, Unknown) and not value.tainted):
        return Static(f"{module.name}:{ast.unparse(node)[:40]}")
    return replace(value, frozen=True) if isinstance(value, (Sequence, Mapping)) else value
