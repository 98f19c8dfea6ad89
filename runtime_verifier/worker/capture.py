"""Captures a module's forward as vLLM does: one full graph, declared dims dynamic, all guards dropped.

Runs in a worker process only. Sources: vllm/compilation/wrapper.py and decorators.py (0.24 to 0.33).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch.fx.experimental.symbolic_shapes import ConstraintViolationError, GuardOnDataDependentSymNode

from vllm_lint.runtime_verifier.outcomes import (
    Backend,
    CaptureFailed,
    DataDependent,
    GraphBreak,
    Mode,
    Outcome,
    Place,
    RangeViolated,
    RuntimeAssert,
    ShapeGuard,
    Specialized,
)
from vllm_lint.runtime_verifier.targets.regions import Region
from vllm_lint.runtime_verifier.trace.constraints import Constraint, readable_source
from vllm_lint.runtime_verifier.trace.size_guards import judge
from vllm_lint.runtime_verifier.worker import decisions
from vllm_lint.runtime_verifier.worker.decisions import Decisions
from vllm_lint.runtime_verifier.worker.evidence import Evidence, place_of
from vllm_lint.runtime_verifier.worker.operators import OperatorCheck
from vllm_lint.runtime_verifier.worker.shapes import WatchedGraph
from vllm_lint.runtime_verifier.worker.state_guards import StateGuards
from vllm_lint.runtime_verifier.worker.syncs import scan

#: The range of token counts that the strict mode insists on. 2, because 0 and 1 are specialised anyway.
STRICT_RANGE = (2, 16384)
_SHARED_SHAPE_ID = "tokens"
_MARK_UNBACKED_OPTIONS = inspect.signature(torch._dynamo.decorators.mark_unbacked).parameters


@dataclass
class Capture:
    """A captured forward. `call` replays the one artifact, and is None if there is none."""

    call: Callable[..., Any] | None
    outcomes: list[Outcome]
    guards: StateGuards = field(default_factory=StateGuards)
    graph: WatchedGraph | None = None
    """What `call` runs, where no compiler stands between."""


@dataclass
class _Recorder:
    """A Dynamo backend that looks at the graph and hands it on."""

    mode: Mode
    backend: Backend
    graph: torch.fx.GraphModule | None = None
    watched: WatchedGraph | None = None
    checked: OperatorCheck | None = None
    asserts: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        self.graph = graph
        shape_env = torch._guards.TracingContext.get().fake_mode.shape_env
        for node in graph.graph.find_nodes(op="placeholder"):
            example, argument = node.meta.get("example_value"), node.meta.get("grapharg")
            if isinstance(example, torch.Tensor) and argument is not None:
                for dim, size in enumerate(example.shape):
                    self.names.setdefault(str(size), readable_source(f"{_name(argument.source)}.size()[{dim}]"))
        for asserts in shape_env.deferred_runtime_asserts.values():
            for item in asserts:
                self.asserts.append(str(item.expr))
        if self.mode == "backed" and self.backend == "eager":
            self.watched = WatchedGraph(graph)
            return self._checking_first(graph, self.watched)
        return torch._dynamo.lookup_backend(self.backend)(graph, inputs)

    def _checking_first(self, graph: torch.fx.GraphModule, compiled: Callable[..., Any]) -> Callable[..., Any]:
        """`compiled`, with the operators of the graph checked on its first arguments."""

        def call(*arguments: Any) -> Any:
            if self.checked is None:
                self.checked = OperatorCheck(graph)
                self.checked.run_copied(arguments)
            return compiled(*arguments)

        return call


def capture(
    region: Region,
    tokens: int,
    mode: Mode = "backed",
    backend: Backend = "eager",
    units: Mapping[str, int] = MappingProxyType({}),
) -> Capture:
    """Capture the forward of `region` with inputs of `tokens` tokens, run it once, and say what the capture found.

    `units` are those of the region, of which every size is a multiple.

    Raises:
        NotReached: the region has no inputs for so many tokens.
    """
    torch._dynamo.reset()
    inputs = region.inputs(tokens)
    mark(inputs, region, mode)
    with region.around(tokens):
        return (
            _all_breaks(region, inputs)
            if mode == "breaks"
            else _full_graph(region, tokens, inputs, mode, backend, units)
        )


def _full_graph(
    region: Region, tokens: int, inputs: Mapping[str, Any], mode: Mode, backend: Backend, units: Mapping[str, int]
) -> Capture:
    recorder, guards = _Recorder(mode, backend), StateGuards()
    call = torch.compile(
        region.forward, fullgraph=True, dynamic=False, backend=recorder, options={"guard_filter_fn": guards}
    )
    oblivious = torch.fx.experimental._config.patch(backed_size_oblivious=mode == "oblivious")
    with Evidence() as evidence, oblivious, decisions.of_one_token(tokens) as of_one_token:
        try:
            call(**inputs)
        except Exception as error:  # noqa: BLE001 - every failure of a capture is a result
            return Capture(None, list(_failures(error, mode, evidence)), guards)
    if recorder.graph is None:
        return Capture(None, [CaptureFailed(mode, "forward holds no tensor operation, so there is no graph")], guards)
    outcomes: list[Outcome] = []
    if mode == "backed":
        outcomes += [
            *_guards(evidence, mode, units),
            *_one_token(of_one_token, evidence),
            *scan(recorder.graph),
            *guards.of_steps(),
        ]
        outcomes += guards.changed(region.forward, inputs)
        outcomes += recorder.checked.found if recorder.checked else ()
    for text in dict.fromkeys(recorder.asserts):
        stack = evidence.guard_stack(text)
        outcomes.append(RuntimeAssert(mode, Constraint(text).readable(recorder.names), stack[-1] if stack else None))
    return Capture(call, outcomes, guards, recorder.watched)


def mark(inputs: Mapping[str, Any], region: Region, mode: Mode) -> None:
    """Mark the declared dims of every tensor in `inputs`, in place."""
    for name, by_dim in region.dims.items():
        for tensor in _tensors(inputs.get(name)):
            for dim, shape_id in by_dim.items():
                _mark(tensor, dim % tensor.ndim, shape_id, mode)
    for name, dims in region.unbacked.items():
        for tensor in _tensors(inputs.get(name)):
            for dim in dims:
                _mark(tensor, dim % tensor.ndim, None, "unbacked")


def _tensors(value: Any) -> tuple[torch.Tensor, ...]:
    if value is None:
        return ()
    return tuple(value.tensors.values()) if hasattr(value, "tensors") else (value,)


def _mark(tensor: torch.Tensor, dim: int, shape_id: str | None, mode: Mode) -> None:
    if mode in ("unbacked", "shared-unbacked"):
        options: dict[str, Any] = {"hint_override": tensor.size(dim)}
        if mode == "shared-unbacked":
            shape_id = f"{_SHARED_SHAPE_ID}_{tensor.size(dim)}"
        if shape_id is not None:
            options["shape_id"] = shape_id
        supported = {k: v for k, v in options.items() if k in _MARK_UNBACKED_OPTIONS}
        torch._dynamo.decorators.mark_unbacked(tensor, dim, **supported)
    elif mode == "strict":
        torch._dynamo.mark_dynamic(tensor, dim, min=STRICT_RANGE[0], max=STRICT_RANGE[1])
    else:
        torch._dynamo.mark_dynamic(tensor, dim)


def _guards(evidence: Evidence, mode: Mode, units: Mapping[str, int]) -> Iterator[ShapeGuard]:
    """The guards that some number of tokens breaks; a guard that holds for all of them is benign."""
    for compilation in evidence.trace.compilations:
        compilation.units = dict(units)
        for judged in judge(compilation):
            if judged.is_harmful:
                guard = judged.guard
                by_operation = guard.origin == "operation"
                yield ShapeGuard(
                    mode, judged.expression, judged.fails_at, judged.undecided, guard.stack, by_operation=by_operation
                )


def _one_token(found: Decisions, evidence: Evidence) -> Iterator[ShapeGuard]:
    for condition, stack in found:
        yield ShapeGuard("oblivious", Constraint(condition).readable(evidence.names), (1,), stack=stack)


def _failures(error: BaseException, mode: Mode, evidence: Evidence) -> Iterator[Outcome]:
    """What an exception at capture means."""
    while isinstance(error, torch._dynamo.exc.BackendCompilerFailed) and error.inner_exception is not None:
        error = error.inner_exception
    text = str(error)
    place = place_of(getattr(error, "real_stack", None))
    if isinstance(error, ConstraintViolationError):
        yield from _violations(text, mode, evidence)
    elif isinstance(error, GuardOnDataDependentSymNode) or "data-dependent expression" in text:
        found = re.search(r"data-dependent expression (.+?) \(unhinted", text)
        said = found[1] if found else text.splitlines()[0]
        yield DataDependent(mode, evidence.readable(said) if found else said, place)
    elif isinstance(error, torch._dynamo.exc.Unsupported) or _break_id(text):
        yield GraphBreak(mode, _break_id(text), text.splitlines()[0], place)
    else:
        yield CaptureFailed(mode, f"{type(error).__name__}: {text}".splitlines()[0], place)


def _violations(text: str, mode: Mode, evidence: Evidence) -> Iterator[Outcome]:
    sources = re.findall(r"You marked (.+?) as dynamic but your code specialized it", text)
    for name in map(readable_source, sources):
        symbols = {s for s, n in evidence.names.items() if n == name}
        stack = next((p for t, p in evidence.guards if t.startswith("Eq(") and Constraint(t).symbols & symbols), ())
        yield Specialized(mode, name, stack[-1] if stack else None)
    guards = re.findall(r"satisfy the generated guard (.+?)\.?$", text, re.MULTILINE)
    if guards:
        yield RangeViolated(tuple(readable_source(g) for g in guards))
    if not sources and not guards:
        yield CaptureFailed(mode, text.splitlines()[0])


def _all_breaks(region: Region, inputs: Mapping[str, Any]) -> Capture:
    call = torch.compile(region.forward, dynamic=False, backend="eager")
    failures: list[Outcome] = []
    # As a full graph does: scalars and dynamic output shapes are captured instead of breaking.
    options = torch._dynamo.config.patch(capture_scalar_outputs=True, capture_dynamic_output_shape_ops=True)
    with options, Evidence() as evidence:
        try:
            call(**inputs)
        except Exception as error:  # noqa: BLE001 - as above
            failures = list(_failures(error, "breaks", evidence))
    return Capture(None, [*(_graph_break(reason, place) for reason, place in evidence.breaks), *failures])


def _graph_break(text: str, place: Place | None) -> GraphBreak:
    # The first paragraph may only say which bytecode was traced.
    lines = [line for line in text.splitlines() if line and not line.endswith(":") and "when attempting" not in line]
    return GraphBreak("breaks", _break_id(text), lines[0] if lines else "", place)


def _break_id(text: str) -> str:
    found = re.search(r"/gb(\d+)\.html", text)
    return f"GB{found[1]}" if found else ""


def _name(source: Any) -> str:
    return source.name if isinstance(source.name, str) else source.name()  # a method before torch 2.10
