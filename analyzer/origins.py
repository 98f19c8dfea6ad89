"""What a value comes from that vLLM's cache key does not hold.

Only values with such an origin carry it: what the key holds may differ between two runs, but then they share nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from vllm_lint.analyzer.findings import Span

ENVIRONMENT, FIELD, MACHINE = "environment", "field", "machine"


@dataclass(frozen=True)
class Origin:
    """One thing outside of the key. `kind` is "environment", "field" or "machine"."""

    kind: str
    name: str
    read: Span
    """Where compiled code, or the constructor of what is compiled, reads it."""
    reason: str
    """Why the key does not hold it."""
    declared: Span | None = None
    """Where the program says so."""
    certain: bool = True


Origins = frozenset[Origin]
NO_ORIGINS: Origins = frozenset()
