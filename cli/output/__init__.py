"""One renderer a format.

A renderer is a function from a result and a `Context` to pieces of text, each printed with a line end. Only
renderers know the formats; the analysis knows none.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli.console import Style

#: Format name to the module and function that renders it.
FORMATS = {
    "full": ("full", "render"),
    "concise": ("concise", "render"),
    "json": ("records", "render_json"),
    "jsonl": ("records", "render_jsonl"),
    "github": ("github", "render"),
    "sarif": ("sarif", "render"),
}

#: Formats for people; the others are for programs and never carry colours.
TEXT_FORMATS = ("full", "concise")


@dataclass(frozen=True)
class Context:
    """What a renderer may use besides the result."""

    rules: Sequence[type[Rule]]
    """The rules that ran."""
    lines: Callable[[str], Sequence[str]]
    """Source lines of a path as it stands in a finding."""
    style: Style
    base: Path
    """The folder that the paths in findings are relative to."""
    width: int | None = None
    """Columns of the terminal; None if the text goes elsewhere and need not fit."""
    asleep: int = 0
    """How many rules in preview were selected and did not run."""

    @cached_property
    def rule_by_code(self) -> dict[str, type[Rule]]:
        """The rules that ran, by code."""
        return {rule.meta.code: rule for rule in self.rules}


class Renderer(Protocol):
    """The one signature of all renderers."""

    def __call__(self, result: CheckResult, context: Context) -> Iterator[str]:
        """Render `result`."""


def renderer(name: str) -> Renderer:
    """The renderer of a format in `FORMATS`."""
    module, function = FORMATS[name]
    found: Renderer = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return found
