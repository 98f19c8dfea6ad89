"""Library calls that TorchDynamo cannot trace, as data.

Measured on torch 2.13 with `fullgraph=True`; the ids are those of torch's graph-break registry. The fixtures of
`untraceable-call` and `print-in-graph` are run under Dynamo in the tests.
"""

from __future__ import annotations

#: Dotted name of a function, or of a package with a trailing dot, to the id of the graph break it causes.
UNTRACEABLE: dict[str, str] = {
    "time.": "GB0007",
    "logging.": "GB6215",
    "warnings.warn": "GB0007",
    "warnings.warn_explicit": "GB0007",
    "subprocess.": "GB0007",
    "uuid.": "GB0007",
    "gc.": "GB0007",
    "pickle.": "GB0007",
    "hashlib.": "GB0007",
    "zlib.": "GB0007",
    "bisect.": "GB0007",
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
    "sys._getframe": "GB0007",
    "inspect.currentframe": "GB0007",
    "inspect.stack": "GB0007",
    "traceback.": "GB0007",
    "importlib.import_module": "GB0007",
    "torch.distributed.broadcast": "GB0007",
    "torch.distributed.barrier": "GB0007",
    "json.": "GB0156",
    "datetime.": "GB0156",
    "contextvars.": "GB0156",
    "ctypes.": "GB0156",
    "sys.stdout.": "GB0156",
    "sys.stderr.": "GB0156",
    "builtins.__import__": "GB0007",
    "os.environ.pop": "GB0007",
    "os.environ.update": "GB0007",
    "torch.Generator": "GB6270",
}


def reason(name: str) -> str | None:
    """The graph break that calling `name` causes; None if it is not known to cause one."""
    found = UNTRACEABLE.get(name)
    while found is None and "." in name:
        name = name.rpartition(".")[0]
        found = UNTRACEABLE.get(f"{name}.")
    return found
