"""Reads what a verification left in a folder: the result of a target, and the traces of its passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vllm_lint.runtime_verifier.outcomes import Mode, Part, Result
from vllm_lint.runtime_verifier.trace.evidence import Compilation, TraceEvidence
from vllm_lint.runtime_verifier.trace.log import TraceLog

#: Name of the file beside the traces that says what they cannot.
RESULT = "result.json"


@dataclass(frozen=True)
class PartEvidence:
    """One compiled forward of a target, with the captures that vLLM would make of it."""

    target: str
    part: Part
    compilations: tuple[Compilation, ...]
    """Of the pass that marks dims as vLLM does by default."""
    broken: tuple[Compilation, ...]
    """Of the pass that goes on behind a graph break."""

    @property
    def name(self) -> str:
        """For people: `LlamaForCausalLM, LlamaModel`."""
        return f"{self.target}, {self.part.name}" if self.part.name != self.target else self.target


def read(folder: Path) -> tuple[Result, tuple[PartEvidence, ...]]:
    """The evidence in `folder`.

    Raises:
        OSError: the result cannot be read.
        msgspec.DecodeError: it is no result, or one of another release.
    """
    result = msgspec.json.decode((folder / RESULT).read_bytes(), type=Result)
    return result, tuple(parts(result, folder))


def parts(result: Result, folder: Path) -> Iterator[PartEvidence]:
    """The same for a result that is at hand."""
    for part in result.parts:
        broken = _compilations(folder, part, "breaks")
        for compilation in broken:
            # Only the breaks count: behind one, sizes are no longer what vLLM would see.
            compilation.keeps_guards = False
            compilation.guards.clear()
            compilation.specialized.clear()
            compilation.failure = None
        backed = _compilations(folder, part, "backed")
        for compilation in backed:
            compilation.units = part.units
        yield PartEvidence(result.target, part, backed, broken)


def _compilations(folder: Path, part: Part, mode: Mode) -> tuple[Compilation, ...]:
    name = part.logs.get(mode)
    if name is None:
        return ()
    evidence = TraceEvidence()
    for record in TraceLog(folder / name).records():
        evidence.add(record.metadata, record.payload)
    return tuple(evidence.compilations)
