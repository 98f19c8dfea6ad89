"""What is known about particular names of torch, vLLM and the standard library, beside reading their source.

Each entry exists because the source says less than the name: state that other functions set, dispatch through
registries, or communication between ranks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from vllm_lint.analyzer import (
    builtin_calls,
    einops_calls,
    held_values,
    operators,
    registering,
    state,
    torch_calls,
    untraceable,
    vllm_layers,
)
from vllm_lint.analyzer.calls import Call, Handler
from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import DefaultDtypeSet, LibraryCall
from vllm_lint.analyzer.index import ClassInfo, ModuleInfo
from vllm_lint.analyzer.origins import MACHINE, Origin
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.sizes import Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    FALSE,
    NONE,
    TRUE,
    UNKNOWN,
    Class,
    Const,
    External,
    Function,
    Instance,
    Int,
    Layer,
    Mapping,
    Partial,
    Sequence,
    Static,
    Tensor,
    Unknown,
    Value,
    as_size,
    choice,
    decided,
    element_of,
    origins_of,
    tainted,
    tensor_among,
)

#: The base class of layers that choose an implementation.
CUSTOM_OP = "vllm.model_executor.custom_op.CustomOp"
#: The base class of what a layer does with its weights, which quantization chooses.
QUANTIZE_METHOD = "vllm.model_executor.layers.quantization.base_config.QuantizeMethodBase"

#: The module in which vLLM keeps its environment variables.
ENVIRONMENT = "vllm.envs"
OS_ENVIRON = External("os.environ")

#: Names whose value their definition does not give.
GLOBALS: dict[str, Value] = {
    "typing.TYPE_CHECKING": FALSE,
    ENVIRONMENT: Static(ENVIRONMENT),
    "vllm.platforms.current_platform": Static("current_platform"),
}


_PROCESSORS = ("the key does not hold how many processors there are", True)
_DEVICES = ("the key holds the name of the device, not how many there are or how full they are", True)
_HOST = ("the key does not hold which machine it is", True)
_FILES = ("the key does not hold which files and packages there are", False)

#: What says something of the machine that vLLM's key does not hold, and whether it is sure to differ between machines.
#: What goes with the name of the device is held: Inductor's part of the key has that name.
MACHINE_FACTS: dict[str, tuple[str, bool]] = {
    "os.cpu_count": _PROCESSORS,
    "os.process_cpu_count": _PROCESSORS,
    "os.sched_getaffinity": _PROCESSORS,
    "multiprocessing.cpu_count": _PROCESSORS,
    "psutil.cpu_count": _PROCESSORS,
    "torch.get_num_threads": _PROCESSORS,
    "torch.cuda.device_count": _DEVICES,
    "torch.cuda.mem_get_info": _DEVICES,
    "platform.machine": _HOST,
    "platform.node": _HOST,
    "platform.processor": _HOST,
    "platform.release": _HOST,
    "platform.uname": _HOST,
    "socket.gethostname": _HOST,
    "os.path.exists": _FILES,
    "os.path.isfile": _FILES,
    "os.path.isdir": _FILES,
    "shutil.which": _FILES,
    "importlib.util.find_spec": _FILES,
    "importlib.metadata.version": _FILES,
}

#: Calls on objects of unknown type whose result is the same on every platform that compiles.
STATIC_CALLS: dict[str, Value] = {"current_platform.opaque_attention_op": TRUE}


def _logger(call: Call) -> Value:
    return Layer("logging.Logger")


def _forward_context(call: Call) -> Value:
    return Layer(state.FORWARD_CONTEXT)


def _first_argument(call: Call) -> Value:
    return call.args[0] if call.args else next(iter(call.kwargs.values()), UNKNOWN)


def _all_gather(call: Call) -> Value:
    return _scaled(call.args, call.kwargs, lambda size, ranks: size * ranks)


def _reduce_scatter(call: Call) -> Value:
    return _scaled(call.args, call.kwargs, lambda size, ranks: size // ranks)


def _scaled(args: list[Value], kwargs: dict[str, Value], scale: Callable[[Size, Size], Size]) -> Value:
    """A tensor whose dimension `dim` grows or shrinks with the number of ranks."""
    tensor = tensor_among(args[0] if args else kwargs.get("input_", UNKNOWN))
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


def _make_layers(call: Call) -> Value:
    """`vllm.model_executor.models.utils.make_layers`: one layer stands for all."""
    function = call.args[1] if len(call.args) > 1 else call.kwargs.get("layer_fn", UNKNOWN)
    layer = call.context.call(function, [], {"prefix": Static("prefix", "str")}, call.node, call.frame)
    bounds: list[Value] = [Static("start_layer", "int"), Static("end_layer", "int")]
    return Sequence("tuple", [*bounds, Sequence("list", None, layer)], UNKNOWN)


def _missing_layer(call: Call) -> Value:
    """A layer of another pipeline rank is never called."""
    return NONE


def dispatch_forward(call: Call) -> Value:
    """`CustomOp.dispatch_forward`: the native implementation, CUDA's, and those of platforms that have their own."""
    receiver = call.args[0]
    if not isinstance(receiver, Instance):
        return UNKNOWN
    found = []
    for name in ("native", "cuda", "hip", "cpu", "tpu", "xpu", "oot"):
        member = call.context.member(receiver.cls, f"forward_{name}")
        if member is not None and member[0].qualified_name != CUSTOM_OP:
            found.append(call.context.attribute(receiver, f"forward_{name}", call.node, call.frame))
    return choice(found)


def _class_decorator(name: str) -> Handler:
    """A decorator of vLLM that leaves the class as it is; options alone give the decorator."""

    def decorate(call: Call) -> Value:
        if call.args:
            return call.args[0]
        return call.kwargs.get("cls") or Partial(External(name), (), tuple(call.kwargs.items()))

    return decorate


def _nothing(call: Call) -> Value:
    return NONE


_DECORATORS = ("support_torch_compile", "ignore_torch_compile")

#: Functions and classes of the program that are not followed.
CALLS: dict[str, Handler] = {
    **{n: _class_decorator(n) for n in (f"vllm.compilation.decorators.{d}" for d in _DECORATORS)},
    "vllm.logger.init_logger": _logger,
    "vllm.forward_context.get_forward_context": _forward_context,
    "vllm.distributed.communication_op.tensor_model_parallel_all_reduce": _first_argument,
    "vllm.distributed.communication_op.tensor_model_parallel_all_gather": _all_gather,
    "vllm.distributed.communication_op.tensor_model_parallel_reduce_scatter": _reduce_scatter,
    "vllm.model_executor.models.utils.make_layers": _make_layers,
    "vllm.model_executor.models.utils.PPMissingLayer": _missing_layer,
    "vllm.model_executor.layers.utils.PPMissingLayer": _missing_layer,
    f"{CUSTOM_OP}.dispatch_forward": dispatch_forward,
    "vllm.model_executor.utils.set_weight_attrs": _nothing,
    registering.DIRECT: registering.register,
    # `ACT2FN[name]`: whichever it is, it keeps the shape.
    "transformers.activations.ClassInstantier.__getitem__": lambda call: Layer("torch.nn.Identity"),
}


def _linear_method(receiver: Instance, args: list[Value], kwargs: dict[str, Value]) -> Value | None:
    """`LinearMethodBase.apply(layer, x, bias)`: as wide as the layer says."""
    layer = kwargs.get("layer", args[0] if args else UNKNOWN)
    x = tensor_among(kwargs.get("x", args[1] if len(args) > 1 else UNKNOWN))
    if x is None or not x.shape:
        return None
    width = layer.attributes.get("output_size_per_partition") if isinstance(layer, Instance) else None
    size = as_size(width) if width is not None else None
    return replace(x, shape=(*x.shape[:-1], size or Size.static("?")), open=False)


def _embedding_method(receiver: Instance, args: list[Value], kwargs: dict[str, Value]) -> Value | None:
    """`QuantizeMethodBase.embedding(layer, ids)`."""
    ids = tensor_among(kwargs.get("input_", args[1] if len(args) > 1 else UNKNOWN))
    if ids is None or ids.shape is None:
        return None
    return replace(ids, shape=(*ids.shape, Size.static("width")), open=False)


def _linear_forward(receiver: Instance, args: list[Value], kwargs: dict[str, Value]) -> Value | None:
    """`LinearBase.forward(input_)`: the output and, unless told otherwise, the bias."""
    output = _linear_method(receiver, [receiver, *args, *kwargs.values()], {})
    returns_bias = receiver.attributes.get("return_bias", TRUE)
    if output is None or returns_bias not in (TRUE, FALSE):
        return None
    if returns_bias == FALSE:
        return output
    return Sequence("tuple", [output, choice([Tensor(parameter=True), NONE])], UNKNOWN)


def _embedding_forward(receiver: Instance, args: list[Value], kwargs: dict[str, Value]) -> Value | None:
    """`VocabParallelEmbedding.forward(input_)`."""
    return _embedding_method(receiver, [receiver, *args], kwargs)


#: Methods that many callers share and whose result does not depend on which implementation runs: the class that
#: declares them, the name, and the result. Each implementation is interpreted once for each type of argument.
_SHARED: tuple[tuple[str, str, Callable[[Instance, list[Value], dict[str, Value]], Value | None]], ...] = (
    ("apply", QUANTIZE_METHOD, _linear_method),
    ("embedding", QUANTIZE_METHOD, _embedding_method),
    ("forward", "vllm.model_executor.layers.linear.LinearBase", _linear_forward),
    ("forward", "vllm.model_executor.layers.vocab_parallel_embedding.VocabParallelEmbedding", _embedding_forward),
)

#: Functions that choose an implementation by configuration: the declared type of their result says enough.
CHOOSES_IMPLEMENTATION = {
    "vllm.model_executor.layers.quantization.base_config.resolve_quant_method",
    "vllm.model_executor.layers.fused_moe.routed_experts.RoutedExperts._get_quant_method",
    "vllm.v1.attention.selector.get_attn_backend",
}

_MODEL_PACKAGE = re.compile(r"vllm\.models\.(\w+)\.")

#: Methods of `QUANTIZE_METHOD` that only fill in the weights of a layer.
_WEIGHT_SETUP = {"create_weights", "process_weights_after_loading"}


def model_of(module: ModuleInfo) -> str:
    """The model whose package a module belongs to; "" if it serves all. What a model defines is for itself alone."""
    found = _MODEL_PACKAGE.match(module.name)
    return found[1] if found and found[1] != "common" else ""


def sets_up_weights(project: Project, cls: ClassInfo, name: str) -> bool:
    """Whether the method does nothing that a compiled region could tell but create weights."""
    return name in _WEIGHT_SETUP and _derives(project, cls, QUANTIZE_METHOD)


def _derives(project: Project, cls: ClassInfo, base: str) -> bool:
    return any(not isinstance(b, str) and b.qualified_name == base for b in project.linearization(cls))


def shared_method(
    project: Project, cls: ClassInfo, name: str
) -> Callable[[Instance, list[Value], dict[str, Value]], Value | None] | None:
    """What tells the result of a method that many callers share; None if it is not such a method."""
    for method, base, result in _SHARED:
        if method == name and _derives(project, cls, base):
            return result
    return None


def constructed_by_type(project: Project, cls: ClassInfo) -> bool:
    """Whether objects of `cls` are told apart by the types of their constructors' arguments alone."""
    return _derives(project, cls, CUSTOM_OP)


# Libraries


def call_external(
    context: Context, name: str, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    """Call something that is not part of the program."""
    call = Call(context, name, args, kwargs, node, frame)
    if name in CALLS:  # vLLM itself is not at hand
        return CALLS[name](call)
    if name.startswith("builtins."):
        return builtin_calls.call_builtin(context, name.removeprefix("builtins."), args, kwargs, node, frame)
    if name.startswith("math."):
        return builtin_calls.call_builtin(context, name, args, kwargs, node, frame)
    held = held_values.look_at(call)
    if held is not None:
        return held
    if untraceable.breaks_when_called(name):
        call.report(name)
    if kwargs.get("async_op") == TRUE and name.startswith("torch.distributed."):
        call.report("torch.distributed.async_op")
    if name.startswith("numpy.") and name != "numpy.arange":
        sizes = [v for v in call.values if tainted(v)]
        if sizes and not any(isinstance(v, Tensor) for v in args):
            call.specialize("numpy", *sizes[:1])
            return Static(f"{name}()")
    handler = _LIBRARY.get(name)
    if handler is not None:
        return handler(call)
    if name.startswith(vllm_layers.PACKAGE):
        return Layer(name, tuple(args), tuple((k, v) for k, v in kwargs.items() if k != "..."))
    if name.startswith("torch.ops."):
        return _custom_operator(call)
    if name.startswith("torch."):
        return torch_calls.call_torch(context, name.removeprefix("torch."), args, kwargs, node, frame)
    result = call.plain()
    if isinstance(result, Unknown):
        context.not_followed(node, frame, name)
    return result


def _custom_operator(call: Call) -> Value:
    """What the fake implementation returns, if the calling module registers it; the real one is never traced."""
    module = call.frame.module
    name = call.name.rpartition(".")[2]
    if name in module.operators and not call.context.quiet:
        with call.context.silently():
            function = call.context.evaluate(module.operators[name], Frame(module, {}))
        if isinstance(function, Partial) and function.arguments:  # an operator stands for the function it was made of
            function = function.arguments[0]
        state.hand_over(call.context, function, call.node, call.frame)
    fake = module.fakes.get(name)
    if fake is None:
        return Unknown("a custom operator")
    with call.context.silently():
        implementation = call.context.evaluate(fake, Frame(module, {}))
        return call.context.call(implementation, call.args, call.kwargs, call.node, call.frame)


def _partial(call: Call) -> Value:
    return Partial(call.args[0], tuple(call.args[1:]), tuple(call.kwargs.items())) if call.args else UNKNOWN


def _elements(call: Call) -> Value:
    """`itertools.islice` and the like: some of the elements."""
    return Sequence("generator", None, choice(element_of(call.context.as_sequence(a)) for a in call.args[:1]))


def _chain(call: Call) -> Value:
    return Sequence("generator", None, choice(element_of(call.context.as_sequence(a)) for a in call.args))


def _copy(call: Call) -> Value:
    """`copy.copy`: measured to be traced for objects and tuples only."""
    value = call.first
    if isinstance(value, (Mapping, Tensor)) or (isinstance(value, Sequence) and value.kind in ("list", "set")):
        call.context.emit(LibraryCall, call.node, call.frame, name="copy.copy", tensor=isinstance(value, Tensor))
    return value


def _deep_copy(call: Call) -> Value:
    """`copy.deepcopy`: measured to be traced for everything but tensors."""
    value = call.first
    if isinstance(value, Tensor):
        call.context.emit(LibraryCall, call.node, call.frame, value, name="copy.deepcopy", tensor=True)
    return value


def _object_of(name: str) -> Handler:
    """A function that makes an object of the library class `name`."""
    made = Layer(name)
    return lambda call: made


def _scripted(call: Call) -> Value:
    """`torch.jit.script`: a scripted function is traced into, a scripted module is not."""
    return Layer(untraceable.SCRIPTED) if isinstance(call.first, (Instance, Layer)) else call.first


def _fields(call: Call) -> Value:
    """`dataclasses.fields`: measured to be traced for objects, not for classes."""
    if isinstance(call.first, Class):
        call.report("dataclasses.fields")
    return call.plain()


def _nonstrict(call: Call) -> Value:
    """`nonstrict_trace`: measured to be traced for functions that were defined before."""
    if isinstance(call.first, Function) and call.first.scope is not None:
        call.report("torch._dynamo.nonstrict_trace.local")
    return Partial(operators.NONSTRICT, (call.first,), ())


def _environment(call: Call) -> Value:
    """A read of the environment."""
    state.read_environment(call.context, call.node, call.frame, call.args[0] if call.args else None)
    name = call.args[0] if call.args else call.kwargs.get("key", UNKNOWN)
    value = read_environment(call.context, name, call.node, call.frame)
    return decided(choice([value, call.args[1] if len(call.args) > 1 else NONE]), origins_of(value))


def _default_dtype(call: Call) -> Value:
    call.context.emit(DefaultDtypeSet, call.node, call.frame)
    return NONE


def _thread_local(call: Call) -> Value:
    return Layer(state.THREAD_LOCAL)


def _second_argument(call: Call) -> Value:
    return call.args[1] if len(call.args) > 1 else UNKNOWN


def read_environment(context: Context, name: Value, node: Located, frame: Frame) -> Value:
    """The value of an environment variable, as `os` gives it."""
    if not isinstance(name, Const) or not isinstance(name.value, str):
        return Static("os.environ[]", "str")
    return Static(f"os.environ[{name.value!r}]", "str", origins=context.environment_origins(name.value, node, frame))


def is_in_environment(context: Context, name: Value, node: Located, frame: Frame) -> Value:
    """Whether an environment variable is set, which says more than its value does where there is a default."""
    if not isinstance(name, Const) or not isinstance(name.value, str):
        return Static("in", "bool")
    return Static("in", "bool", context.environment_origins(name.value, node, frame, presence=True))


def _from_machine(call: Call) -> Value:
    """Something about the machine that the process runs on."""
    reason, certain = MACHINE_FACTS[call.name]
    read = call.frame.module.source.span(call.node)
    origin = Origin(MACHINE, call.name.removeprefix("builtins."), read, reason, certain=certain)
    return Static(f"{call.name}()", origins=frozenset({origin}))


def _empty_mapping(call: Call) -> Value:
    return Mapping(None, UNKNOWN)


def _tuple(call: Call) -> Value:
    return call.context.as_sequence(call.args[0]) if call.args else UNKNOWN


def _index(call: Call) -> Value:
    """`operator.index`: a number of Python, as `n.__index__()` is."""
    if isinstance(call.first, Int) and call.first.size.depends:
        call.specialize("operator.index", call.first)
    return call.first


def _reduce(call: Call) -> Value:
    if len(call.args) < 2:
        return UNKNOWN
    sequence = call.context.as_sequence(call.args[1])
    items = sequence.items if sequence.items is not None else [element_of(sequence)] * 2
    items = [*call.args[2:3], *items]
    if not items:
        return UNKNOWN
    result = items[0]
    for item in items[1:]:
        result = call.context.call(call.args[0], [result, item], {}, call.node, call.frame)
    return result


_LIBRARY: dict[str, Handler] = {
    "torch.Size": _tuple,
    "torch.set_default_dtype": _default_dtype,
    "os.getenv": _environment,
    "os.environ.get": _environment,
    "threading.local": _thread_local,
    **dict.fromkeys(MACHINE_FACTS, _from_machine),
    "logging.getLogger": _logger,
    "functools.partial": _partial,
    "functools.reduce": _reduce,
    "operator.index": _index,
    "functools.lru_cache": _first_argument,
    "functools.cache": _first_argument,
    "itertools.islice": _elements,
    "itertools.chain": _chain,
    "typing.cast": _second_argument,
    "dataclasses.field": _nothing,
    "copy.copy": _copy,
    "copy.deepcopy": _deep_copy,
    "re.compile": _object_of("re.Pattern"),
    "dataclasses.fields": _fields,
    "decimal.Decimal": _object_of("decimal.Decimal"),
    "torch._dynamo.nonstrict_trace": _nonstrict,
    "torch.compiler.nonstrict_trace": _nonstrict,
    "ctypes.CDLL": _object_of("ctypes.CDLL"),
    "ctypes.cdll.LoadLibrary": _object_of("ctypes.CDLL"),
    "contextlib.ExitStack": _object_of("contextlib.ExitStack"),
    "torch.Generator": _object_of("torch.Generator"),
    "torch.cuda.Event": _object_of("torch.cuda.Event"),
    "torch.jit.script": _scripted,
    "torch.jit.trace": _scripted,
    "torch.jit.freeze": _scripted,
    "torch.jit.load": _object_of(untraceable.SCRIPTED),
    **{name: _object_of(name) for name in untraceable.LOCKS},
    "collections.defaultdict": _empty_mapping,
    "collections.OrderedDict": _empty_mapping,
    **dict.fromkeys(("einops.rearrange", "einops.reduce", "einops.repeat"), einops_calls.call_einops),
    "torch.distributed.all_reduce": _nothing,
    **registering.HANDLERS,
    "vllm.logger.init_logger": _logger,
}
