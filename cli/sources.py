"""Finds the lines of a trace in the files of this machine."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from vllm_lint.analyzer.discovery import display_name
from vllm_lint.analyzer.findings import Span
from vllm_lint.cli.source import SourceReader
from vllm_lint.runtime_verifier.outcomes import Place

#: Share of a file's traced lines that must read the same here for the file to be taken for the traced one.
_SAME = 0.8


class Sources:
    """Names of traced files as findings show them.

    A path that exists here is itself. Another, from a container or another machine, is the one of `files` with the
    longest common end, if its lines read as they did when they were traced; else it keeps its name.
    """

    def __init__(self, base: Path, files: Sequence[str]) -> None:
        self._base = base
        self._lines = SourceReader(base)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in files:
            self._by_name[PurePosixPath(file).name].append(file)
        self._traced: dict[str, dict[int, str]] = defaultdict(dict)
        self._names: dict[str, str] = {}
        self._defined: dict[str, list[tuple[int, int, str, bool]]] = {}

    def learn(self, lines: Mapping[tuple[str, int], str]) -> None:
        """Take the text that traced lines had, by path and number."""
        for (path, number), text in lines.items():
            if text:
                self._traced[path][number] = text

    def locate(self, place: Place) -> Span:
        """The whole line, without its indentation where the file is here."""
        name = self._name(place.path)
        lines = self._lines(name)
        if place.line > len(lines):
            return Span(name, place.line, 1, place.line, 1)
        text = lines[place.line - 1]
        start = len(text) - len(text.lstrip())
        return Span(name, place.line, start + 1, place.line, max(len(text.rstrip()), start) + 1)

    def locate_line(self, line: tuple[str, int]) -> Span:
        """The same for a path and a line."""
        return self.locate(Place(*line, ""))

    def function_lines(self, span: Span) -> tuple[int, int]:
        """First and last line of the innermost function that a span is in; of the span itself where it is in none."""
        inside = [
            (first, last)
            for first, last, name, is_class in self._definitions(span.path)
            if first <= span.line <= last and not is_class
        ]
        return inside[-1] if inside else (span.line, span.end_line)

    def qualified(self, place: Place) -> str:
        """`Model.forward`, if the file is here and the function is a method; else the function's own name."""
        span = self.locate(place)
        inside = [
            name
            for first, last, name, is_class in self._definitions(span.path)
            if first <= span.line <= last and is_class
        ]
        return ".".join([*inside[-1:], place.function])

    def _definitions(self, path: str) -> list[tuple[int, int, str, bool]]:
        if path not in self._defined:
            self._defined[path] = _definitions("\n".join(self._lines(path)))
        return self._defined[path]

    def _name(self, path: str) -> str:
        if path not in self._names:
            self._names[path] = self._find(path)
        return self._names[path]

    def _find(self, path: str) -> str:
        here = Path(path)
        if here.is_file():
            name = display_name(here, self._base)
            return name if name in self._by_name[here.name] else self._same_file(here, name)
        traced = PurePosixPath(path).parts
        candidates = self._by_name.get(traced[-1], ())
        ranked = sorted(((_common_end(traced, self._absolute(c)), c) for c in candidates), reverse=True)
        for common, candidate in ranked:
            tie = sum(other == common for other, _ in ranked) > 1
            if self._reads_alike(path, candidate) if self._traced.get(path) else common >= 2 and not tie:
                return candidate
        return path

    def _same_file(self, here: Path, name: str) -> str:
        """The name under which the static half knows an existing file, which may be another through links."""
        known = (c for c in self._by_name[here.name] if (self._base / c).samefile(here))
        return next(known, name)

    def _absolute(self, name: str) -> tuple[str, ...]:
        return PurePosixPath((self._base / name).as_posix()).parts

    def _reads_alike(self, path: str, candidate: str) -> bool:
        lines = self._lines(candidate)
        traced = self._traced[path]
        same = sum(
            number <= len(lines) and lines[number - 1].strip() == text.strip() for number, text in traced.items()
        )
        return same >= _SAME * len(traced)


def _definitions(text: str) -> list[tuple[int, int, str, bool]]:
    """First line, last line and name of each class and function, outer ones first, and whether it is a class.

    There are none in what is not Python.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # ValueError for null bytes
        return []
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (node for node in ast.walk(tree) if isinstance(node, kinds))
    return sorted((n.lineno, n.end_lineno or n.lineno, n.name, isinstance(n, ast.ClassDef)) for n in found)


def _common_end(first: Sequence[str], second: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        count += 1
    return count
