"""Collects torch's structured trace (the events that TORCH_TRACE writes) inside the process that captures."""

from __future__ import annotations

import logging
import os
import re
import sysconfig
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import torch
from torch._logging import structured

from vllm_lint.runtime_verifier.constraints import readable_source
from vllm_lint.runtime_verifier.outcomes import Place

_TORCH_ROOT = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
#: A frame in a formatted traceback.
FRAME = re.compile(r'File "(.+?)", line (\d+), in (\S+)')
_OWN_CALLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "capture.py")
_STDLIB_ROOT = sysconfig.get_path("stdlib") + os.sep


class Evidence(logging.Handler):
    """Events of one capture: the guards with their call path, and which size each symbol stands for."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.guards: list[tuple[str, tuple[Place, ...]]] = []
        self.names: dict[str, str] = {}
        self.values: dict[str, int] = {}
        self.breaks: list[tuple[str, Place | None]] = []
        self._attempt = 0

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
        if metadata.get("attempt", 0) != self._attempt:  # Dynamo starts a frame over when it has to know more
            self._attempt = metadata["attempt"]
            self.guards.clear()
        if guard := metadata.get("guard_added_fast"):
            self.guards.append((guard["expr"], _places(guard["user_stack"])))
        elif symbol := metadata.get("create_symbol"):
            self.names[symbol["symbol"]] = readable_source(symbol["source"])
            self.values[symbol["symbol"]] = int(symbol["val"]) if symbol["val"].lstrip("-").isdigit() else 0

        elif (metadata.get("artifact") or {}).get("name") == "dynamo_graph_break_reason":
            self.breaks.append(_read_break(record.payload))  # type: ignore[attr-defined]

    def guard_stack(self, text: str) -> tuple[Place, ...]:
        """The call path on which a guard was added; empty if it came from the framework."""
        return next((stack for expression, stack in self.guards if expression == text), ())


def _read_break(text: str) -> tuple[str, Place | None]:
    """Reason and innermost user frame of a `dynamo_graph_break_reason` event, which is text for people."""
    _, _, rest = text.partition("Graph Break Reason: ")
    reason, _, stack = rest.partition("User code traceback:")
    frames = (Place(os.path.abspath(path), int(line), name) for path, line, name in FRAME.findall(stack))
    # torch's own traceback follows the user's, and is left out with all that is not the user's.
    return reason, next((p for p in reversed(list(frames)) if _is_users(p.path)), None)


def _places(frames: Sequence[Mapping[str, Any]]) -> tuple[Place, ...]:
    names = {number: name for name, number in structured.INTERN_TABLE.items()}
    places = (Place(os.path.abspath(names[f["filename"]]), f["line"], f["name"]) for f in frames)
    return tuple(p for p in places if _is_users(p.path))


def place_of(stack: Sequence[Any] | None) -> Place | None:
    """The innermost frame of a `traceback.StackSummary` that is neither torch's nor the standard library's."""
    for frame in reversed(stack or ()):
        path = os.path.abspath(frame.filename)
        if _is_users(path):
            return Place(path, frame.lineno or 0, frame.name)
    return None


def _is_users(path: str) -> bool:
    if path == _OWN_CALLER or path.startswith(_TORCH_ROOT) or not os.path.exists(path):
        return False
    return not path.startswith(_STDLIB_ROOT) or "site-packages" in path
