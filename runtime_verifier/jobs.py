"""What a worker is asked to do, as data that crosses the process boundary as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from vllm_lint.runtime_verifier.outcomes import Backend, Mode, Result

#: Token counts to replay at: decode, odd, and around the sizes that tiles and captured batches are made of.
SIZES = (1, 2, 3, 7, 127, 128, 129, 256, 512, 1000)


Provider = Literal["module", "harness", "transformers", "vllm"]
"""Who builds the target: `module` takes a class or a function, `harness` a function that returns a module and its
inputs, `transformers` a model type, `vllm` an architecture of vLLM's registry or the folder of a config.json."""


Device = Literal["auto", "cpu", "cuda"]
"""Where targets run: on a GPU if there is one, on the CPU in any case, or on a GPU and not at all without one."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One target, to be captured and replayed.

    `target` is a name in the file or dotted module `path`, for a `module` and a `harness`, and otherwise a model.
    """

    target: str
    provider: Provider = "module"
    path: str = ""
    search: tuple[str, ...] = ()
    """Folders to put in front of the import path."""
    shape: str = ""
    """What a `module` takes, in the form that `shapes` reads, such as `x=n,64 positions=n:int64`."""
    standins: bool = False
    """Whether `standins` stands in for vLLM even where vLLM is installed; where it is not, it always does."""
    trace_size: int = 256
    sizes: tuple[int, ...] = SIZES
    modes: tuple[Mode, ...] = ("backed",)
    blame: bool = False
    """Whether to run more modes where a replay differs and no guard tells why."""
    backends: tuple[Backend, ...] = ("eager",)
    reference: Job | None = None
    """What gives the eager results to compare with, where it returns any; only what says how to build it counts."""
    folder: str = ""
    """Where to write the traces and the result; nowhere if empty."""
    overlay: dict[str, str] = {}
    """Source files to read in place of others: path of the original to path of the replacement. `path` names the
    original."""
    timeout: float = 120.0
    """Seconds."""
    memory: int = 4 << 30
    """Bytes of private memory, on top of what torch itself maps."""


class Request(msgspec.Struct, frozen=True):
    """A numbered job on its way to the server."""

    number: int
    job: Job


class Reply(msgspec.Struct, frozen=True):
    """The answer to the request of the same number; `failure` is a traceback of the tool itself."""

    number: int
    result: Result | None = None
    failure: str | None = None


class Hello(msgspec.Struct, frozen=True):
    """First line of a server: ready, or why it cannot work and what to type.

    `gpu` names the GPU, and is empty where torch sees none.
    """

    torch: str = ""
    vllm: str = ""
    gpu: str = ""
    missing: str = ""
    cure: str = ""
