"""What the examination of one file brings to light; the cache keeps it between runs."""

from __future__ import annotations

import msgspec

from vllm_lint.analyzer.findings import Finding, Root, ToolError


class RootReport(msgspec.Struct, frozen=True):
    """A compiled root and what the analysis reached from it."""

    root: Root
    dynamic: dict[str, str]
    """Argument name to what is dynamic in it, such as "dim 0"."""
    functions: int
    """How many functions were interpreted."""
    unresolved: tuple[str, ...]
    """Calls that could not be followed."""


class FileFacts(msgspec.Struct, kw_only=True):
    """What one file and its roots had to say. Findings may lie in other files that the roots reach."""

    path: str
    data: bytes | None = None
    """The text where it did not come from disk."""
    digest: str = ""
    """Names the bytes that were examined; empty if there were none to be had."""
    unreadable: str = ""
    """Why the file could not be read or parsed."""
    has_suppressions: bool = False
    findings: list[Finding] = []
    errors: list[ToolError] = []
    roots: list[RootReport] = []
    reached: set[str] = set()
    """Files with functions that the roots run."""
    questions: tuple[str, ...] = ()
    """What was asked about other files (see `vllm_lint.analyzer.questions`), sorted."""
    answers: str = ""
    """Digest of the answers, in the same order."""
