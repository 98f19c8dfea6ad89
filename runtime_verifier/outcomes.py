"""What a verification found out, as plain data that crosses the process boundary as JSON.

Nothing here imports torch. Sizes are numbers of tokens; lines count from 1.
"""

from __future__ import annotations

import os
import traceback
from typing import Literal, Union

import msgspec

from vllm_lint.runtime_verifier.trace.constraints import PROBES

Mode = Literal["backed", "oblivious", "strict", "unbacked", "shared-unbacked", "breaks"]
"""How the token dims were marked: as vLLM does by default, as it does under `dynamic_shapes_config.type=
backed_size_oblivious`, with a range that must hold whole, as vLLM does under `type=unbacked`, the same with one symbol
for all token dims, or without `fullgraph`."""

Backend = Literal["eager", "aot_eager", "inductor", "cudagraph"]
"""What runs the captured graph: the Dynamo graph as it is, AOTAutograd's, Inductor's code, or a CUDA graph of that
code. Each adds one stage to the one before."""


def line_of(error: BaseException) -> str:
    """An exception in one line; one without a message says where it was raised."""
    lines = str(error).splitlines()
    if lines:
        return f"{type(error).__name__}: {lines[0]}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}: {frames[-1].line}" if frames else ""
    return f"{type(error).__name__}{where}"


class Place(msgspec.Struct, frozen=True):
    """A line of source. `path` is absolute, as the process that ran it saw it."""

    path: str
    line: int
    function: str


class GraphBreak(msgspec.Struct, frozen=True, tag=True):
    """Dynamo could not trace something. `id` is torch's graph-break id such as GB0170; empty if it gave none."""

    mode: Mode
    id: str
    reason: str
    place: Place | None = None


class Specialized(msgspec.Struct, frozen=True, tag=True):
    """A dim that was declared dynamic became one constant (ConstraintViolationError)."""

    mode: Mode
    source: str
    place: Place | None = None


class RangeViolated(msgspec.Struct, frozen=True, tag=True):
    """A strict range found a guard that not every size in it satisfies."""

    guards: tuple[str, ...]


class DataDependent(msgspec.Struct, frozen=True, tag=True):
    """Python asked for the value of something that is known only at run time."""

    mode: Mode
    expression: str
    place: Place | None = None


class ShapeGuard(msgspec.Struct, frozen=True, tag=True):
    """A condition on sizes that was true when traced, and that vLLM drops.

    `expression` speaks of the user's arguments, as in `x.size(0) % 128 == 0`; `fails_at` holds numbers of tokens at
    which it is false, and `stack` the call path, outermost first. With mode "oblivious" it is a decision between one
    token and more, on which only that mode has a guard. `undecided` says that no single number of tokens
    decides it (two sizes that were found equal or unequal, or an operator that is not understood). `by_operation` says
    that an operation on tensors asked, and no Python code.
    """

    mode: Mode
    expression: str
    fails_at: tuple[int, ...]
    undecided: bool = False
    stack: tuple[Place, ...] = ()
    by_operation: bool = False

    @property
    def bound(self) -> int | None:
        """The size at the bound if it is false for every size beyond one, as `n <= 1024` and `n >= 5` are."""
        if not self.fails_at:
            return None
        low, high = self.fails_at[0], self.fails_at[-1]
        if low <= 2 and {n for n in PROBES if 2 <= n <= high} <= {*self.fails_at}:
            return high if high < PROBES[-1] else None
        return low if {n for n in PROBES if n >= low} <= {*self.fails_at} else None


class RuntimeAssert(msgspec.Struct, frozen=True, tag=True):
    """A condition that the captured graph checks when it runs."""

    mode: Mode
    expression: str
    place: Place | None = None


class GraphSync(msgspec.Struct, frozen=True, tag=True):
    """An operator in the captured graph that makes a GPU wait for the host or the host for a GPU."""

    operator: str
    place: Place | None = None


class StateGuard(msgspec.Struct, frozen=True, tag=True):
    """Something that changes from step to step was a constant to the capture; vLLM drops the guard on it."""

    source: str
    expression: str
    place: Place | None = None
    holder: Literal["context", "environment", "attribute", "variable"] = "attribute"
    """What it belongs to: the context of the step, the environment, an object, or a module or enclosing function."""


class Rebound(msgspec.Struct, frozen=True, tag=True):
    """An attribute that a call of forward binds to another tensor; a CUDA graph keeps the address of the first."""

    attribute: str
    place: Place | None = None


class DishonestOperator(msgspec.Struct, frozen=True, tag=True):
    """A custom operator that does something else than its schema or its fake implementation says."""

    operator: str
    kind: Literal["undeclared-mutation", "output-aliases-input", "fake-disagrees"]
    detail: str
    place: Place | None = None


class WrongAnswer(msgspec.Struct, frozen=True, tag=True):
    """Replay with guards dropped gave other outputs, inputs or module state than eager.

    `max_difference` is None where shapes, types or state differ instead of numbers; `scale` is the largest number of
    eager there.
    """

    backend: Backend
    sizes: tuple[int, ...]
    max_difference: float | None
    detail: str
    scale: float | None = None


class CheckLost(msgspec.Struct, frozen=True, tag=True):
    """Eager raises at these sizes, the replay returned."""

    backend: Backend
    sizes: tuple[int, ...]
    message: str


class ReplayFailed(msgspec.Struct, frozen=True, tag=True):
    """Eager returns at these sizes, the replay raised."""

    backend: Backend
    sizes: tuple[int, ...]
    message: str


class Changed(msgspec.Struct, frozen=True, tag=True):
    """Without compilation it does something else than the job that it is compared with (`Job.reference`).

    `aspect` says in what: what it returns, the strides of that, what it writes to its inputs, or the state of the
    module that both have.
    """

    aspect: Literal["output", "layout", "inputs", "state"]
    sizes: tuple[int, ...]
    detail: str


class NotCompared(msgspec.Struct, frozen=True, tag=True):
    """The job to compare with gives no results."""

    message: str


class EagerFailed(msgspec.Struct, frozen=True, tag=True):
    """The target cannot be built or does not run without compilation either, so there is no verdict."""

    stage: Literal["import", "build", "forward"]
    message: str


class CaptureFailed(msgspec.Struct, frozen=True, tag=True):
    """Capturing raised something that is none of the above."""

    mode: Mode
    message: str
    place: Place | None = None


class Crashed(msgspec.Struct, frozen=True, tag=True):
    """The process of this target ended by itself: an exit status, or minus a signal number."""

    status: int


class TimedOut(msgspec.Struct, frozen=True, tag=True):
    """The process of this target was ended after its time limit."""

    seconds: float


class OutOfMemory(msgspec.Struct, frozen=True, tag=True):
    """The process of this target needed more than its memory limit, in bytes."""

    limit: int


Outcome = Union[
    GraphBreak,
    Specialized,
    RangeViolated,
    DataDependent,
    ShapeGuard,
    RuntimeAssert,
    GraphSync,
    StateGuard,
    Rebound,
    DishonestOperator,
    WrongAnswer,
    CheckLost,
    ReplayFailed,
    Changed,
    NotCompared,
    EagerFailed,
    CaptureFailed,
    Crashed,
    TimedOut,
    OutOfMemory,
]


class Part(msgspec.Struct, frozen=True):
    """What was found about one compiled forward of a target.

    `replayed` holds the sizes at which a replay was compared with eager, `logs` the trace log of each pass, by mode.
    """

    name: str
    place: Place | None
    outcomes: tuple[Outcome, ...]
    replayed: tuple[int, ...] = ()
    logs: dict[Mode, str] = {}
    units: dict[str, int] = {}
    """Of dims such as `patches.size(0)` the number that divides all sizes it was called with, where that is not 1."""
    dims: dict[int, tuple[int, ...]] = {}
    """The sizes of the dynamic dims at each size that was replayed: patches may be four times as many."""
    graphed: tuple[int, ...] = ()
    """Sizes at which a CUDA graph of the forward was captured and replayed."""
    compared: tuple[int, ...] = ()
    """Sizes at which its results were compared with those of another job."""
    refused: tuple[int, ...] = ()
    """Those of `replayed` at which eager raises."""
    misshapen: tuple[int, ...] = ()
    """Of the replayed sizes that break a guard of an operation's, those at which some operation has another shape than
    the captured graph notes."""


class Result(msgspec.Struct, frozen=True):
    """Everything one job found. `whole` is about the target itself: why there are no parts, or not all of them."""

    target: str
    parts: tuple[Part, ...] = ()
    whole: tuple[Outcome, ...] = ()
    seconds: float = 0.0
    memory: int = 0
    """Peak of the process in bytes, what the server had imported included."""
    torch: str = ""
    vllm: str = ""
    platform: str = "cpu"
    """What it ran on, such as `cuda (NVIDIA H200)`."""
    device_memory: int = 0
    """Peak of what torch allocated on the GPU, in bytes."""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Of all parts, and of the whole."""
        return (*(o for part in self.parts for o in part.outcomes), *self.whole)

    @property
    def clean(self) -> bool:
        """Whether the capture succeeded, holds for every size, and every replay agreed with eager.

        Guards and unbacked errors of the stricter passes do not count while the replay at the sizes where they fail
        agrees with eager; of another job it is only the output that counts.
        """
        harmless = (ShapeGuard, RuntimeAssert, RangeViolated)
        return all(
            isinstance(o, harmless)
            or (isinstance(o, Changed) and o.aspect != "output")
            or getattr(o, "mode", None) in ("oblivious", "strict", "unbacked", "shared-unbacked")
            for o in self.outcomes
        )
