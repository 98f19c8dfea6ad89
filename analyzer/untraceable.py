"""What TorchDynamo cannot trace, as data: names, which rule tells about them, and the graph break that they cause.

Measured on torch 2.13 with `fullgraph=True`, names of `torch.cuda` on a GPU too (torch 2.11); the ids are those of
torch's graph-break registry. The fixtures of the rules are run under Dynamo in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Kind = Literal[
    "output",
    "text",
    "logging",
    "call",
    "context manager",
    "disabled",
    "object",
    "cuda",
    "tensor kind",
    "data-sized",
    "exception",
    "autograd",
    "tensor method",
    "numpy",
    "coroutine",
    "operator function",
]
"""Which rule tells about a name."""

#: What `torch.jit.script` makes of a module.
SCRIPTED = "torch.jit.ScriptModule"
#: What registering a hook gives.
HOOK = "torch.utils.hooks.RemovableHandle"
#: Functions that make what compiled code cannot read where somebody else made it, and what it is reported as.
MAKES_HELD = {
    "torch.quantize_per_tensor": "torch.Tensor.quantized",
    "torch.quantize_per_channel": "torch.Tensor.quantized",
    "torch.nested.nested_tensor": "torch.Tensor.nested",
    "torch.nested.as_nested_tensor": "torch.Tensor.nested",
    "torch.sparse_coo_tensor": "torch.Tensor.sparse",
    "torch.sparse_csr_tensor": "torch.Tensor.sparse",
}
HELD = frozenset({*MAKES_HELD.values(), "numpy.ndarray.objects"})
#: Classes of locks, which are context managers.
LOCKS = ("threading.Lock", "threading.RLock", "threading.Condition", "threading.Semaphore")

#: Functions of numpy 2 that torch._numpy, which Dynamo traces instead, does not have.
# fmt: off
_NUMPY = (
    "apply_along_axis", "apply_over_axes", "argpartition", "array2string", "array_repr", "array_str", "asmatrix",
    "base_repr", "binary_repr", "block", "bmat", "busday_count", "busday_offset", "compress", "cumulative_prod",
    "cumulative_sum", "datetime_as_string", "delete", "digitize", "ediff1d", "einsum_path", "extract", "frexp",
    "frombuffer", "fromfile", "fromfunction", "fromiter", "frompyfunc", "fromregex", "fromstring", "genfromtxt",
    "histogram_bin_edges", "in1d", "insert", "interp", "intersect1d", "isin", "ix_", "lexsort", "load", "loadtxt",
    "mask_indices", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin",
    "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "packbits", "partition", "piecewise",
    "place", "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval",
    "putmask", "random.default_rng", "ravel_multi_index", "require", "roots", "save", "savetxt", "savez",
    "savez_compressed", "select", "setdiff1d", "setxor1d", "shares_memory", "spacing", "trapezoid", "trapz",
    "trim_zeros", "union1d", "unpackbits", "unravel_index", "unwrap", "vectorize",
)
# fmt: on

#: Dotted name of a function, or of a package with a trailing dot, to the id of the graph break that calling it causes.
BY_NAME: dict[Kind, dict[str, str]] = {
    "output": {"sys.stdout.": "GB0156", "sys.stderr.": "GB0156"},
    "logging": {"logging.": "GB6215", "warnings.warn": "GB0007", "warnings.warn_explicit": "GB0007"},
    "call": {
        "time.": "GB0007",
        "subprocess.": "GB0007",
        "tempfile.": "GB0007",
        "uuid.": "GB0007",
        "gc.": "GB0007",
        "pickle.": "GB0007",
        "hashlib.": "GB0007",
        "zlib.": "GB0007",
        "bisect.": "GB0007",
        "re.finditer": "GB0007",
        "os.getpid": "GB0007",
        "os.path.exists": "GB0007",
        "os.path.isfile": "GB0007",
        "os.path.isdir": "GB0007",
        "os.makedirs": "GB0007",
        "os.listdir": "GB0007",
        "os.putenv": "GB0007",
        "os.system": "GB0007",
        "random.random": "GB0007",
        "random.choice": "GB0007",
        "random.shuffle": "GB0007",
        "torch.manual_seed": "GB0007",
        "torch.cuda.manual_seed": "GB0007",
        "torch.get_rng_state": "GB0007",
        "torch.set_rng_state": "GB0007",
        "torch.save": "GB0007",
        "torch.load": "GB0007",
        "torch.is_inference_mode_enabled": "GB0046",
        "torch.from_dlpack": "GB0007",
        "torch.utils.dlpack.": "GB0007",
        "torch.set_num_threads": "GB0007",
        "torch.get_num_threads": "GB0208",
        "sys._getframe": "GB0007",
        "inspect.currentframe": "GB0007",
        "inspect.stack": "GB0007",
        "inspect.getsource": "GB0007",
        "traceback.": "GB0007",
        "importlib.import_module": "GB0007",
        "threading.get_ident": "GB0007",
        "threading.current_thread": "GB0007",
        "warnings.simplefilter": "GB0007",
        "warnings.filterwarnings": "GB0007",
        "torch.distributed.broadcast": "GB0007",
        "torch.distributed.barrier": "GB0007",
        "torch.distributed.isend": "GB2696",
        "torch.distributed.irecv": "GB2696",
        "torch.distributed.batch_isend_irecv": "GB9300",
        "torch.distributed.P2POp": "GB1750",
        "torch.distributed.all_gather_object": "GB2078",
        "torch.distributed.broadcast_object_list": "GB2078",
        "torch.distributed.gather_object": "GB2078",
        "torch.distributed.scatter_object_list": "GB2078",
        "json.": "GB0156",
        "datetime.": "GB0156",
        "contextvars.": "GB0156",
        "ctypes.": "GB0156",
        "os.environ.pop": "GB0007",
        "os.environ.update": "GB0007",
        "torch.Generator": "GB0363",
    },
    "context manager": {
        **dict.fromkeys(LOCKS, "GB0007"),
        "torch.autograd.detect_anomaly": "GB0008",
        "torch.backends.cuda.sdp_kernel": "GB0208",
        "torch.backends.cudnn.flags": "GB0208",
        "torch.random.fork_rng": "GB0208",
        "contextlib.redirect_stdout": "GB0156",
        "contextlib.redirect_stderr": "GB0156",
        "contextlib.closing": "GB0262",
    },
    "disabled": {
        "torch._dynamo.graph_break": "GB0025",
        "torch._dynamo.skip_frame": "GB4297",
        "torch._dynamo.step_unsupported": "GB4636",
    },
    "object": {"types.SimpleNamespace": "GB0147"},
    "cuda": {
        "torch.cuda.nvtx.": "GB0208",
        "torch.cuda.memory_allocated": "GB0208",
        "torch.cuda.max_memory_allocated": "GB0208",
        "torch.cuda.memory_reserved": "GB0208",
        "torch.cuda.memory_stats": "GB0208",
        "torch.cuda.memory._snapshot": "GB0208",
        "torch.cuda.utilization": "GB0208",
        "torch.cuda.is_current_stream_capturing": "GB0208",
        "torch.cuda.device_count": "GB0208",
        "torch.cuda.get_device_name": "GB0208",
        "torch.cuda.get_arch_list": "GB0208",
        "torch.cuda.can_device_access_peer": "GB0208",
        "torch.cuda.default_stream": "GB0208",
        "torch.cuda.cudart": "GB0208",
        "torch.cuda.synchronize": "GB0007",
        "torch.cuda.set_device": "GB0007",
        "torch.cuda.get_rng_state": "GB0007",
        "torch.cuda.CUDAGraph": "GB0007",
        "torch.cuda.graph": "GB0007",
    },
    "tensor kind": {
        "torch.sparse.": "GB0015",
        "torch.sparse_coo_tensor": "GB0007",
        "torch.sparse_csr_tensor": "GB0374",
        "torch.sparse_csc_tensor": "GB0374",
        "torch.sparse_bsr_tensor": "GB0374",
        "torch.sparse_bsc_tensor": "GB0374",
        "torch.sparse_compressed_tensor": "GB0374",
        "torch.quantize_per_tensor": "GB0090",
        "torch.quantize_per_channel": "GB0090",
        "torch.quantize_per_tensor_dynamic": "GB0090",
    },
    "autograd": {"torch.autograd.grad": "GB9186", "torch.autograd.backward": "GB0007"},
    "numpy": {f"numpy.{name}": "GB0294" for name in _NUMPY},
}

#: Members of packages above that are traced: errors, plain objects, and what Python keeps once it was asked for.
# fmt: off
TRACED = frozenset((
    "ctypes.ARRAY", "ctypes.ArgumentError", "ctypes.LibraryLoader", "json.JSONEncoder", "logging.BufferingFormatter",
    "logging.Filter", "logging.Formatter", "logging.Logger", "logging.LoggerAdapter", "logging.captureWarnings",
    "logging.getLevelName", "logging.getLevelNamesMapping", "logging.getLogRecordFactory", "logging.getLoggerClass",
    "logging.setLogRecordFactory", "logging.setLoggerClass", "pickle.PickleError", "pickle.PicklingError",
    "pickle.UnpicklingError", "subprocess.CalledProcessError", "subprocess.CompletedProcess",
    "subprocess.SubprocessError", "subprocess.TimeoutExpired", "tempfile.gettempdir", "tempfile.gettempdirb",
    "tempfile.gettempprefix", "tempfile.gettempprefixb", "time.struct_time", "traceback.StackSummary",
    "traceback.clear_frames", "traceback.format_exc", "traceback.format_list", "traceback.walk_stack",
    "traceback.walk_tb", "uuid.UUID", "zlib.error",
))
# fmt: on

#: Names that the interpreter reports where what is done to them matters, not the call alone.
BY_USE: dict[Kind, dict[str, str]] = {
    "output": {"builtins.print": "GB0059", "builtins.open": "GB0059", "builtins.input": "GB0059"},
    "text": {
        "builtins.str": "GB0059",
        "builtins.repr": "GB0569",
        "builtins.repr.closure": "GB1584",
        "builtins.str.__mod__": "GB0088",
        "decimal.Decimal.__str__": "GB0005",
        "decimal.Decimal.__repr__": "GB2852",
    },
    "call": {
        "builtins.__import__": "GB0007",
        "builtins.breakpoint": "GB0059",
        "builtins.bytearray": "GB0059",
        "builtins.bytes": "GB0059",
        "builtins.compile": "GB0059",
        **{f"builtins.{name}": "GB0059" for name in ("bin", "chr", "complex", "hex", "oct", "pow")},
        "builtins.divmod": "GB0088",
        "builtins.exec": "GB0059",
        "builtins.globals": "GB0059",
        "builtins.hasattr": "GB0150",
        "builtins.memoryview": "GB0059",
        "builtins.max": "GB0193",
        "builtins.min": "GB0193",
        "builtins.round": "GB0059",
        "builtins.sorted": "GB0207",
        "math.": "GB0208",
        "copy.copy": "GB0007",
        "copy.deepcopy": "GB4198",
        "os.environ.__setitem__": "GB0007",
        "os.environ.__delitem__": "GB0007",
        "torch.Generator.": "GB7650",
        "torch.Generator.draw": "GB0055",
        "torch.distributed.async_op": "GB0172",
        "torch._check": "GB9158",
        "ctypes.Structure.__setattr__": "GB3697",
        "decimal.Decimal.__add__": "GB0808",
        "object.__getattr__": "GB0256",
        "builtins.id": "GB9316",
        "builtins.id.returned": "GB4501",
        "builtins.super": "GB0193",
        "dataclasses.fields": "GB0180",
        "torch.compiler.assume_constant_result": "GB2520",
        "re.Pattern.finditer": "GB0292",
        "traceback.tb_lasti": "GB9625",
    },
    "context manager": {
        "torch.device.__enter__": "GB0142",
        "object.__enter__": "GB0142",
        **{f"{name}.": "GB0142" for name in LOCKS},
        "contextlib.ExitStack.enter_context": "GB0007",
    },
    "disabled": {
        "torch.compiler.disable": "GB0098",
        f"{SCRIPTED}.forward": "GB4695",
        "torch._dynamo.nonstrict_trace.local": "GB0078",
        "torch._dynamo.nonstrict_trace.argument": "GB0236",
        "torch._dynamo.nonstrict_trace.result": "GB0251",
    },
    "object": {
        "builtins.__build_class__": "GB8977",
        "functools.cached_property": "GB0142",
        "pydantic.": "GB0156",
        "typing.TypedDict": "GB0257",
        "torch.nn.Parameter": "GB0264",
        "torch.nn.Module.__init__": "GB0264",
        "torch.nn.Module.register_forward_hook": "GB0467",
        "torch.nn.Module.register_forward_pre_hook": "GB0467",
        "torch.nn.Module.load_state_dict": "GB0208",
        "object.__class__": "GB4271",
        f"{HOOK}.remove": "GB0013",
        "typing.Generic": "GB0116",
    },
    "cuda": {"torch.cuda.Event.elapsed_time": "GB0146", "torch.Tensor.pin_memory": "GB4315"},
    "tensor kind": {
        "torch.nn.LSTM.forward": "GB0014",
        "torch.nn.GRU.forward": "GB0014",
        "torch.nn.RNN.forward": "GB0014",
        "torch.nested.nested_tensor": "GB0090",
        "torch.nested.as_nested_tensor": "GB0090",
        "torch.Tensor.to_sparse": "GB0090",
        "torch.Tensor.to_sparse_csr": "GB0090",
        "torch.Tensor.to_sparse_csc": "GB0090",
        "torch.Tensor.to_sparse_bsr": "GB0090",
        "torch.Tensor.to_sparse_bsc": "GB0090",
        "torch.Tensor.to_mkldnn": "GB0090",
        "torch.Tensor.quantized": "GB0064",
        "torch.Tensor.nested": "GB0016",
        "torch.Tensor.sparse": "GB0015",
    },
    "data-sized": {"torch.nn.functional.one_hot": "GB0246", "torch.Tensor.tolist": "GB0109"},
    "exception": {
        "builtins.ImportError": "GB0069",
        "builtins.RuntimeError": "GB4315",
        "builtins.Exception.__init__": "GB0006",
        "builtins.Exception.__setattr__": "GB0135",
        "builtins.Exception.keyword": "GB0273",
    },
    "autograd": {
        "torch.autograd.FunctionCtx.mark_dirty": "GB2019",
        "torch.autograd.FunctionCtx.mark_shared_storage": "GB0007",
        "torch.autograd.FunctionCtx.maybe_clear_saved_tensors": "GB0139",
        "torch.autograd.FunctionCtx.name": "GB0139",
        "torch.autograd.Function.forward": "GB0085",
        "torch.autograd.Function.method": "GB0140",
        "torch.Tensor.backward": "GB0123",
        "torch.Tensor.retain_grad": "GB0108",
        "torch.Tensor.requires_grad_": "GB0125",
        "torch.Tensor.requires_grad": "GB0206",
        "torch.Tensor.is_inference": "GB0045",
        "requires_grad=True": "GB0225",
    },
    "tensor method": {
        "torch.Tensor.apply_": "GB0055",
        "torch.Tensor.as_subclass": "GB0001",
        "torch.Tensor.data": "GB0056",
        "torch.Tensor.data.dtype": "GB0220",
        "torch.Tensor.imag": "GB0058",
        "torch.Tensor.real": "GB0058",
        "torch.Tensor.data_ptr": "GB0088",
        "torch.Tensor.is_shared": "GB0208",
        "torch.Tensor.random_": "GB0107",
        "torch.Tensor.resize_": "GB0126",
        "torch.Tensor.resize_as_": "GB0127",
        "torch.Tensor.set_": "GB0128",
        "torch.Tensor.map_": "GB0055",
        "torch.Tensor.share_memory_": "GB0117",
        "torch.Tensor.sparse_resize_": "GB0129",
        "torch.Tensor.sparse_resize_and_clear_": "GB0130",
        "torch.Tensor.storage_offset": "GB0208",
        "torch.Tensor.uniform_": "GB0110",
        "torch.Tensor.unsqueeze_": "GB0148",
        "torch.Tensor.squeeze_": "GB0148",
        "torch.Tensor.t_": "GB0148",
        "torch.Tensor.transpose_": "GB0148",
        "torch.Tensor.out": "GB0242",
        "torch.Tensor.out.several": "GB0240",
    },
    "numpy": {
        **{f"numpy.ndarray.{name}": "GB0158" for name in ("tobytes", "tofile", "dump", "dumps")},
        "numpy.ndarray.astype": "GB0250",
        "numpy.ndarray.flags": "GB0157",
        "numpy.ndarray.objects": "GB0185",
        "numpy.ufunc": "GB0290",
        "numpy.finfo": "GB0300",
        "numpy.iinfo": "GB0300",
    },
    "operator function": {"torch.cond.result": "GB0314", "torch.cond.write": "GB0067"},
    "coroutine": {"async.await": "GB0082", "generator.forward": "GB0003"},
}

#: What output and logging begin with, which can be left out where code is compiled.
OUTPUT = tuple(name for table in (BY_NAME, BY_USE) for kind in ("output", "logging") for name in table.get(kind, ()))
_KINDS: dict[str, Kind] = {name: kind for table in (BY_NAME, BY_USE) for kind, names in table.items() for name in names}
_CALLED: frozenset[str] = frozenset(name for names in BY_NAME.values() for name in names)


#: Layers of torch.nn that have parameters; making one while the graph is captured breaks it.
_PARAMETRIC = re.compile(
    r"(Lazy)?(Linear|Bilinear|NonDynamicallyQuantizableLinear|Conv(Transpose)?[123]d|BatchNorm[123]d|Embedding(Bag)?|"
    r"LayerNorm|RMSNorm|GroupNorm|PReLU|MultiheadAttention|LSTM(Cell)?|GRU(Cell)?|RNN(Cell)?|Transformer\w*|Parameter)"
)


def holds_parameters(layer: str, options: Mapping[str, object]) -> bool:
    """Whether an object of `torch.nn.<layer>`, made with these keyword arguments, is a parameter or has some."""
    plain = any(o in options for o in ("elementwise_affine", "affine"))
    return _PARAMETRIC.fullmatch(layer) is not None and not plain


def kind_of(name: str) -> Kind | None:
    """Which rule an event's name belongs to; None if it is not known to break the graph."""
    if name in TRACED:
        return None
    found = _KINDS.get(name)
    while found is None and "." in name:
        name = name.rpartition(".")[0]
        found = _KINDS.get(f"{name}.")
    return found


def breaks_when_called(name: str) -> bool:
    """Whether calling `name` breaks the graph, whatever it is given."""
    if name in TRACED:
        return False
    known = name in _CALLED
    while not known and "." in name:
        name = name.rpartition(".")[0]
        known = f"{name}." in _CALLED
    return known
