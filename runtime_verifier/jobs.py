"""What a worker is asked to do, as data that crosses the process boundary as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from vllm_lint.runtime_verifier.outcomes import Backend, Mode, Result

#: Token counts to replay at: decode, odd, and around the sizes that tiles and captured batches are made of.
SIZES = (1, 2, 3, 7, 127, 128, 129, 256, 512, 1000)


Provider = Literal["module", "vllm"]
"""Who builds the target: `module` takes a class of a file, `vllm` an architecture of vLLM's registry or the folder of
a config.json."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One target, to be captured and replayed.

    The class of a `module` is built without arguments, with the folder of its file on the import path. Its inputs at n
    tokens are what the file's `inputs(n)` returns for the names in `forward`'s signature, and `randn(n, 8)` for the
    others that have no default. What it imports from `vllm` is what `standins` holds.
    """

    target: str
    provider: Provider = "module"
    path: str = ""
    trace_size: int = 256
    sizes: tuple[int, ...] = SIZES
    modes: tuple[Mode, ...] = ("backed",)
    blame: bool = False
    """Whether to run more modes where a replay differs and no guard tells why."""
    backends: tuple[Backend, ...] = ("eager",)
    reference: str | None = None
    """A file whose class of the same name gives the eager results to compare with, where it returns any."""
    folder: str = ""
    """Where to write the traces and the result; nowhere if empty."""
    overlay: dict[str, str] = {}
    """Source files to read in place of others: path of the original to path of the replacement."""
    timeout: float = 60.0
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
    """First line of a server: ready, or why it cannot work."""

    torch: str = ""
    missing: str = ""
