"""Puts the events of a structured trace together: one `Compilation` for each capture, with names in place of symbols.

Events come from a log file (`trace_log`) or from this process (`evidence`); both speak the same language. Neither torch
nor sympy is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from vllm_lint.runtime_verifier.outcomes import Place
from vllm_lint.runtime_verifier.trace import events as te
from vllm_lint.runtime_verifier.trace.constraints import Constraint, readable_source

Origin = Literal["python", "operation", "argument"]
"""What asked: Python code (`if`, `range`), an operation on tensors, or the description of an argument."""

_TORCH_LOGGING = "torch/_logging/_internal.py"
_VARIABLES = "torch/_dynamo/variables/tensor.py"
#: The function of Dynamo that makes a symbolic tensor of an argument.
_DESCRIBES = "_wrap_to_fake_tensor_and_record_impl"
_STDLIB = re.compile(r"/lib/python3\.\d+/(?!(?:site|dist)-packages/)|^<frozen ")
#: A frame in a formatted traceback.
FRAME = re.compile(r'File "(.+?)", line (\d+), in (\S+)')
_GRAPH_LINE = re.compile(r"^\s*# File: (.+?):(\d+) in \S+(?:, code: (.*))?$", re.MULTILINE)
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(\w+): ", re.MULTILINE)
_SYMBOL = re.compile(r"\b(?:s|u|zf|zuf)\d+\b")
_DIM = re.compile(r"^(.*)\.size\(\)\[(\d+)\]$")


#: What Dynamo calls the rest of a function behind a graph break.
_RESUMED = re.compile(r"torch_dynamo_resume_in_(\w+)_at_\d+$")


@dataclass(frozen=True)
class Symbol:
    """A size without a fixed value. `name` is how the user would write it."""

    name: str
    hint: int | None = None
    """Its value in the captured batch; None if it has none, or is of no number."""
    low: float = float("-inf")
    high: float = float("inf")
    source: str = ""
    """The argument it is a dim of; empty if it came out of tensor data."""
    marked: bool = False
    """Whether the dim was declared dynamic by `mark_dynamic` or `mark_unbacked`."""

    @property
    def unbacked(self) -> bool:
        """Whether Dynamo has no value to try conditions on."""
        return self.hint is None


@dataclass(frozen=True)
class Guard:
    """A condition that was found to be true; `stack` is the user's call path, empty for what Inductor adds."""

    text: str
    stack: tuple[Place, ...]
    origin: Origin


@dataclass(frozen=True)
class Specialized:
    """A symbol that became a constant."""

    symbol: str
    value: str
    stack: tuple[Place, ...]


@dataclass(frozen=True)
class Break:
    """Something that Dynamo could not trace, after which it went on with a second graph."""

    reason: str
    stack: tuple[Place, ...]


@dataclass(frozen=True)
class Failure:
    """The capture ended in an exception."""

    kind: str
    reason: str
    stack: tuple[Place, ...]


@dataclass
class Compilation:
    """One capture of one function."""

    compile_id: str
    rank: int | None = None
    process: int = 0
    root: Place | None = None
    """The captured function, at its first line where the trace has it, else at its first call."""
    symbols: dict[str, Symbol] = field(default_factory=dict)
    guards: list[Guard] = field(default_factory=list)
    specialized: list[Specialized] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    recompiled: list[str] = field(default_factory=list)
    """Why an earlier capture of the same function could not be used."""
    failure: Failure | None = None
    captured: bool = False
    """Whether there is a graph."""
    keeps_guards: bool | None = None
    """False if the guards were dropped, as vLLM does; None if the trace does not say."""
    graph_lines: dict[tuple[str, int], str] = field(default_factory=dict)
    """Source lines that the graph has operations of, by path and number, and their text."""
    units: dict[str, int] = field(default_factory=dict)
    """Of names of symbols what divides all sizes that the caller can give them, where that is known and not 1."""
    attempt: int = 0
    ended: bool = False

    @property
    def names(self) -> dict[str, str]:
        """The user's name of each symbol."""
        return {symbol: known.name for symbol, known in self.symbols.items()}

    def readable(self, expression: str) -> str:
        """A condition of torch's in the user's terms; sizes that the trace does not introduce are `?`."""
        unknown = dict.fromkeys(_SYMBOL.findall(expression), "?")
        return Constraint(expression).readable({**unknown, **self.names})

    @property
    def is_marked(self) -> bool:
        """Whether a dim of an argument was declared dynamic."""
        return any(symbol.marked for symbol in self.symbols.values())


class TraceEvidence:
    """Takes the records of one process in their order.

    `is_users` says of a path on a stack whether it is the user's; by default, what belongs neither to torch nor to the
    standard library.
    """

    def __init__(self, process: int = 0, is_users: Callable[[str], bool] | None = None) -> None:
        self.process = process
        self.compilations: list[Compilation] = []
        self.torch = ""
        """The version of torch that wrote the trace; torch 2.13 is the first to say."""
        self.strings: dict[int, str] = {}
        """The interned strings: paths."""
        self.events = 0
        """How many events were understood."""
        self.not_understood = 0
        """Events of a kind that is read, but with other fields."""
        self._is_users = is_users or self._is_not_framework
        self._torch_root: str | None = None
        self._tensors: dict[tuple[int, int], frozenset[int]] = {}
        self._marked: dict[str, frozenset[int]] = {}
        self._last_source = ""

    def add(self, metadata: Mapping[str, Any], payload: str = "") -> None:
        """Take one record: the JSON object of its header, and its payload."""
        try:
            if "str" in metadata:
                text, number = msgspec.convert(metadata["str"], tuple[str, int])
                self._intern(text, number)
            elif (event := te.event_of(metadata)) is not None:
                self._take(event, te.context_of(metadata), payload)
            else:
                return
        except msgspec.ValidationError:
            self.not_understood += 1
        else:
            self.events += 1

    def _intern(self, text: str, number: int) -> None:
        self.strings[number] = text
        if text.endswith(_TORCH_LOGGING):  # every stack in a trace ends there
            self._torch_root = text[: -len(_TORCH_LOGGING)] + "torch/"

    def _take(self, event: te.Event, context: te.Context, payload: str) -> None:
        if isinstance(event, te.DescribeTensor):
            self._tensors[event.describer_id, event.id] = event.marked
            return
        if isinstance(event, te.DescribeSource):
            self._last_source = event.source
            self._marked[event.source] = self._tensors.get((event.describer_id, event.id), frozenset())
            return
        if isinstance(event, te.Artifact) and event.name == "torch_version":
            self.torch = _read_version(payload) or self.torch
            return
        compilation = self._compilation(event, context)
        if compilation is None:
            return
        if isinstance(event, te.DynamoStart):
            compilation.root = compilation.root or self._root(event)
        elif isinstance(event, te.CreateSymbol):
            compilation.symbols[event.symbol] = self._symbol(event)
        elif isinstance(event, te.CreateUnbackedSymbol):
            compilation.symbols.setdefault(event.symbol, self._unbacked(event))
        elif isinstance(event, te.GuardAdded):
            guard = Guard(event.expr, self.places(event.user_stack), self._origin(event.stack))
            compilation.guards.append(guard)
            if compilation.root is None and guard.stack:  # ahead-of-time compilation logs no start
                compilation.root = guard.stack[0]
        elif isinstance(event, te.Specialization):
            stack = self.places(event.user_stack)
            compilation.specialized.append(Specialized(event.symbol, str(event.value), stack))
        elif isinstance(event, te.OutputGraph):
            compilation.captured = True
            compilation.graph_lines.update(
                ((path, int(line)), code) for path, line, code in _GRAPH_LINE.findall(payload)
            )
            _name_unbacked(compilation, event.sizes)
        elif isinstance(event, te.CppGuards):
            # Every plain torch.compile guards the global state; vLLM's filters leave at most conditions on sizes.
            compilation.keeps_guards = "GLOBAL_STATE" in payload
        elif isinstance(event, te.Metrics):
            self._end(compilation, event)
        elif isinstance(event, te.Artifact):
            self._artifact(compilation, event.name, payload)

    def _compilation(self, event: te.Event, context: te.Context) -> Compilation | None:
        """The capture that an event is of, a new one where one begins; None if none can be."""
        current = self.compilations[-1] if self.compilations else None
        if not context.compile_id:
            # Ahead-of-time compilation is logged without an id once Dynamo is through.
            return current
        if current is not None and current.compile_id == context.compile_id:
            if context.attempt > current.attempt:  # Dynamo starts over when it has to know more
                current.attempt = context.attempt
                current.symbols.clear()
                current.guards.clear()
                current.specialized.clear()
            begins = isinstance(event, te.DynamoStart) and context.attempt == 0 and current.root is not None
            reused = isinstance(event, te.CreateSymbol) and current.ended
            if not begins and not reused:
                return current
        elif not isinstance(event, te.DynamoStart):
            # A frame that was left for an inner one, or whose start is missing.
            earlier = next((c for c in reversed(self.compilations) if c.compile_id == context.compile_id), None)
            if earlier is not None and not earlier.ended:
                return earlier
        started = Compilation(context.compile_id, context.rank, self.process, attempt=context.attempt)
        self.compilations.append(started)
        return started

    def _artifact(self, compilation: Compilation, name: str, payload: str) -> None:
        if name == "dynamo_graph_break_reason":
            _, _, rest = payload.partition("Graph Break Reason: ")
            reason, _, stack = rest.partition("User code traceback:")
            compilation.breaks.append(Break(reason or payload, _below(compilation.root, self._read_stack(stack))))
        elif name == "dynamo_error":
            compilation.failure = self._read_error(payload)
        elif name == "recompile_reasons":
            compilation.recompiled += _read_reasons(payload)

    def _read_error(self, text: str) -> Failure:
        _, found, user = text.rpartition("from user code:")
        kinds = _EXCEPTION.findall(text)
        stack = self._read_stack(user if found else text.partition("User stack:")[2])
        return Failure(kinds[-1] if kinds else "failure", text, stack)

    def _end(self, compilation: Compilation, metrics: te.Metrics) -> None:
        compilation.ended = True
        if metrics.co_name and metrics.co_filename:
            name = _RESUMED.sub(r"\1", metrics.co_name)
            compilation.root = Place(metrics.co_filename, metrics.co_firstlineno or 1, name)
        if metrics.fail_type is None:
            compilation.failure = None
            return
        stack = compilation.failure.stack if compilation.failure else ()
        path, line = metrics.fail_user_frame_filename, metrics.fail_user_frame_lineno
        if not stack and path and line and self._is_users(path):
            stack = (Place(path, line, metrics.co_name or ""),)
        reason = metrics.fail_reason or (compilation.failure.reason if compilation.failure else "")
        compilation.failure = Failure(metrics.fail_type, reason, stack)

    def _root(self, event: te.DynamoStart) -> Place | None:
        places = [self._place(frame) for frame in event.stack or ()]
        place = next((p for p in reversed(places) if p), None)
        return Place(place.path, place.line, _RESUMED.sub(r"\1", place.function)) if place else None

    def _symbol(self, event: te.CreateSymbol) -> Symbol:
        low, high = event.range
        found = _DIM.match(event.source)
        marked = found is not None and int(found[2]) in self._marked.get(found[1], ())
        argument = found[1] if found else event.source
        return Symbol(readable_source(event.source), event.hint, low, high, argument, marked)

    def _unbacked(self, event: te.CreateUnbackedSymbol) -> Symbol:
        frames = event.stack or ()
        if not any(frame.name == _DESCRIBES for frame in frames):
            return Symbol("data")  # `.item()` and the like: the user never gave it a name
        dims = self._marked.get(self._last_source, frozenset())
        dim = str(min(dims)) if len(dims) == 1 else "?"
        return Symbol(
            readable_source(f"{self._last_source}.size({dim})"), None, 0, source=self._last_source, marked=True
        )

    def _origin(self, stack: list[te.Frame] | None) -> Origin:
        asked = {(frame.name, self.strings.get(frame.filename, "")) for frame in stack or ()}
        if any(name == _DESCRIBES for name, _ in asked):
            return "argument"
        # SymNodeVariable.evaluate_expr is what Dynamo calls for a jump, a range, a specialised integer.
        is_python = any(name == "evaluate_expr" and path.endswith(_VARIABLES) for name, path in asked)
        return "python" if is_python or not asked else "operation"

    def places(self, frames: list[te.Frame] | None) -> tuple[Place, ...]:
        """The user's frames of a stack, outermost first."""
        found = (self._place(frame) for frame in frames or ())
        return tuple(place for place in found if place and self._is_users(place.path))

    def _place(self, frame: te.Frame) -> Place | None:
        path = self.strings.get(frame.filename)
        return Place(path, frame.line, frame.name) if path else None

    def _read_stack(self, text: str) -> tuple[Place, ...]:
        frames = (Place(path, int(line), name) for path, line, name in FRAME.findall(text))
        return tuple(place for place in frames if self._is_users(place.path))

    def _is_not_framework(self, path: str) -> bool:
        if self._torch_root is not None and path.startswith(self._torch_root):
            return False
        return not _STDLIB.search(path)


def _below(root: Place | None, stack: tuple[Place, ...]) -> tuple[Place, ...]:
    """The part of a stack that begins in the captured function; its callers are no part of the capture."""
    for index, place in enumerate(stack):
        if root is not None and (place.path, place.function) == (root.path, root.function):
            return stack[index:]
    return stack


def _name_unbacked(compilation: Compilation, sizes: Mapping[str, Any]) -> None:
    """Replace `?` where the graph shows which dim of an argument a symbol is."""
    for symbol, known in compilation.symbols.items():
        if not known.name.endswith(".size(?)"):
            continue
        mangled = re.sub(r"\W+", "_", known.source).lower()
        shape = next((s for name, s in sizes.items() if name.lower() == mangled and isinstance(s, (list, tuple))), ())
        for dim, size in enumerate(shape):
            if str(size) == symbol:
                name = readable_source(f"{known.source}.size({dim})")
                compilation.symbols[symbol] = Symbol(name, None, known.low, known.high, known.source, known.marked)


def _read_reasons(payload: str) -> list[str]:
    """The reasons in a `recompile_reasons` artifact, without the source line and torch's advice behind them."""
    try:
        found = msgspec.json.decode(payload.encode(), type=list[str])
    except msgspec.DecodeError:
        found = payload.splitlines()
    return [readable_source(reason.partition("  #")[0].strip()) for reason in found if reason.strip()]


def _read_version(text: str) -> str:
    """The version in a `torch_version` artifact, empty if there is none."""
    try:
        return str(msgspec.json.decode(text.encode(), type=dict[str, Any]).get("pytorch_version", ""))
    except msgspec.DecodeError:
        return ""
