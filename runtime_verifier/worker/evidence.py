"""Collects torch's structured trace (the events that TORCH_TRACE writes) inside the process that captures."""

from __future__ import annotations

import logging
import os
import sysconfig
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import torch
from torch._logging import structured

from vllm_lint.runtime_verifier.outcomes import Place
from vllm_lint.runtime_verifier.trace.evidence import FRAME, TraceEvidence

_TORCH_ROOT = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_OWN_CALLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "capture.py")
_STDLIB_ROOT = sysconfig.get_path("stdlib") + os.sep


class Evidence(logging.Handler):
    """Events of one capture: the guards with their call path, and which size each symbol stands for."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.trace = TraceEvidence(os.getpid(), _is_users)

    def __enter__(self) -> Evidence:
        logging.getLogger("torch.__trace").addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger("torch.__trace").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what a trace record says about symbols and guards."""
        metadata: Mapping[str, Any] = getattr(record, "metadata", None) or {}
        if len(self.trace.strings) < len(structured.INTERN_TABLE):  # most were interned before this capture
            self.trace.strings.update(
                (number, os.path.abspath(name)) for name, number in structured.INTERN_TABLE.items()
            )
        payload = getattr(record, "payload", None)
        self.trace.add(metadata, payload if isinstance(payload, str) else "")

    @property
    def guards(self) -> list[tuple[str, tuple[Place, ...]]]:
        """Conditions with their call path, in the order in which they were added."""
        return [(guard.text, guard.stack) for compilation in self.trace.compilations for guard in compilation.guards]

    @property
    def names(self) -> dict[str, str]:
        """The user's name of each symbol."""
        return {symbol: name for compilation in self.trace.compilations for symbol, name in compilation.names.items()}

    @property
    def values(self) -> dict[str, int]:
        """The captured value of each symbol that has one."""
        known = (c.symbols.items() for c in self.trace.compilations)
        return {symbol: size.hint for symbols in known for symbol, size in symbols if size.hint is not None}

    @property
    def breaks(self) -> list[tuple[str, Place | None]]:
        """Reason and innermost user frame of every graph break."""
        found = (item for compilation in self.trace.compilations for item in compilation.breaks)
        return [(item.reason, item.stack[-1] if item.stack else None) for item in found]

    def readable(self, expression: str) -> str:
        """A condition of torch's in the user's terms."""
        last = self.trace.compilations[-1:]
        return last[0].readable(expression) if last else expression

    def guard_stack(self, text: str) -> tuple[Place, ...]:
        """The call path on which a guard was added; empty if it came from the framework."""
        return next((stack for expression, stack in self.guards if expression == text), ())


def place_of(stack: Sequence[Any] | None) -> Place | None:
    """The innermost frame of a `traceback.StackSummary` that is neither torch's nor the standard library's."""
    places = places_of(stack)
    return places[-1] if places else None


def places_of(stack: Sequence[Any] | None) -> tuple[Place, ...]:
    """The frames of a `traceback.StackSummary` that are neither torch's nor the standard library's, outermost first."""
    frames = ((os.path.abspath(frame.filename), frame) for frame in stack or ())
    return tuple(Place(path, frame.lineno or 0, frame.name) for path, frame in frames if _is_users(path))


def place_of_node(node: torch.fx.Node) -> Place | None:
    """The innermost frame of the stack that a graph's node was traced with."""
    frames = [f for f in FRAME.findall(node.stack_trace or "") if _is_users(f[0])]
    return Place(frames[-1][0], int(frames[-1][1]), frames[-1][2]) if frames else None


def _is_users(path: str) -> bool:
    if path == _OWN_CALLER or path.startswith(_TORCH_ROOT) or not os.path.exists(path):
        return False
    return not path.startswith(_STDLIB_ROOT) or "site-packages" in path
