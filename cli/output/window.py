"""A window of source text with line numbers and marks under the text."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vllm_lint.analyzer.findings import Span
from vllm_lint.cli.console import cell_width, visible

Paint = Callable[[str], str]

_TAB = "    "
#: Lines shown at each end of a span too long to show whole.
_SPAN_HEAD, _SPAN_TAIL = 4, 2
_NARROWEST_LABEL = 24


@dataclass(frozen=True)
class Mark:
    """A span to underline with `char`, and what to write beside it."""

    span: Span
    label: str
    char: str
    paint: Paint
    context: int = 0
    """Lines to show before and after."""

    @property
    def is_multiline(self) -> bool:
        """Whether the mark is drawn as a bar along its lines."""
        return self.span.end_line > self.span.line


class _Cells:
    """A source line as the terminal shows it: tabs and wide characters take more than one cell."""

    def __init__(self, line: str) -> None:
        self.text = ""
        self.offsets = [0]
        for char in line:
            shown = _TAB if char == "\t" else visible(char)
            self.text += shown
            self.offsets.append(self.offsets[-1] + sum(map(cell_width, shown)))

    def at(self, column: int) -> int:
        """Cell of a column that counts from 1; past the end is the end."""
        return self.offsets[min(max(column - 1, 0), len(self.offsets) - 1)]

    def crop(self, focus: int, width: int | None) -> tuple[str, int]:
        """The text cut to `width` cells so that cell `focus` is seen, and how many cells were cut on the left."""
        total = self.offsets[-1]
        if width is None or total <= width:
            return self.text, 0
        left = 0 if focus < width * 3 // 4 else focus - width // 3
        text, cell = "", 0
        for char in self.text:
            size = cell_width(char)
            if left <= cell and cell + size <= left + width:
                text += char
            cell += size
        if left:
            text = "…" + text[1:]
        return (text[:-1] + "…" if total > left + width else text), left


def window(lines: Sequence[str], marks: Sequence[Mark], gutter: int, width: int | None, frame: Paint) -> Iterator[str]:
    """Draw `marks`, all of one file, over the lines that they touch.

    At most one mark may span several lines. `gutter` is the width of the line numbers, `width` that of the terminal.
    """
    # A file that changed or vanished since the analysis may be too short for its marks.
    marks = [mark for mark in marks if mark.span.line <= len(lines)]
    shown = _lines_to_show(marks, lines)
    if not shown:
        return
    bar = next((mark for mark in marks if mark.is_multiline), None)
    room = None if width is None else max(width - gutter - 3 - 2 * bool(bar), 20)
    # A bar starts beside its first line if nothing stands before the span, else with an elbow under it.
    beside = bar is not None and not lines[bar.span.line - 1][: bar.span.column - 1].strip()
    empty = f"{' ' * gutter} {frame('|')}"
    yield empty
    previous = shown[0] - 1
    for number in shown:
        inside = bar is not None and bar.span.line < number <= bar.span.end_line
        if number > previous + 1:
            yield frame("...") + (" " * gutter + bar.paint("|") if bar and inside else "")
        previous = number
        cells = _Cells(lines[number - 1])
        here = [mark for mark in marks if not mark.is_multiline and mark.span.line == number]
        text, cut = cells.crop(cells.at(here[0].span.column) if here else 0, room)
        rail = ""
        if bar is not None:
            first = beside and number == bar.span.line
            rail = " " + bar.paint("/" if first else "|" if inside else " ")
        yield f"{frame(f'{number:>{gutter}} |')}{rail} {text}".rstrip()
        left = f"{empty}{rail.replace('/', '|')}"
        for mark in here:
            start = cells.at(mark.span.column) - cut
            size = max(cells.at(mark.span.end_column) - cut - start, 1)
            size = size if room is None else max(min(size, room - start), 1)
            yield from _underline(mark, left, start, size, room)
        if bar is not None and number == bar.span.line and not beside:
            yield f"{empty}  {bar.paint('_' * (cells.at(bar.span.column) + 1) + bar.char)}"
        if bar is not None and number == bar.span.end_line:
            end = max(cells.at(bar.span.end_column) - 1, 0)
            end = end if room is None else min(end, room - 1)
            tail = f" {bar.label}" if bar.label else ""
            yield f"{empty} {bar.paint('|' + '_' * (end + 1) + bar.char + tail)}"
    yield empty


def _lines_to_show(marks: Sequence[Mark], lines: Sequence[str]) -> list[int]:
    shown: set[int] = set()
    around: set[int] = set()
    count = len(lines)
    for mark in marks:
        first, last = mark.span.line, min(mark.span.end_line, count)
        if last - first >= _SPAN_HEAD + _SPAN_TAIL + 1:
            shown.update(range(first, first + _SPAN_HEAD), range(last - _SPAN_TAIL + 1, last + 1))
        else:
            shown.update(range(first, last + 1))
        around.update(_edge(range(first - 1, max(first - mark.context, 1) - 1, -1), lines))
        around.update(_edge(range(last + 1, min(last + mark.context, count) + 1), lines))
    shown |= around
    # A gap of one line costs as much as the line itself.
    shown |= {line + 1 for line in shown if line + 1 not in shown and line + 2 in shown}
    return sorted(shown)


def _edge(numbers: range, lines: Sequence[str]) -> list[int]:
    """Context on one side, nearest line first, without the empty lines that it would end in."""
    kept = list(numbers)
    while kept and not lines[kept[-1] - 1].strip():
        kept.pop()
    return kept


def _underline(mark: Mark, left: str, start: int, size: int, room: int | None) -> Iterator[str]:
    line = mark.char * size
    if not mark.label:
        yield f"{left} {' ' * start}{mark.paint(line)}"
        return
    after = start + size + 1
    if room is None or after + len(mark.label) <= room:
        yield f"{left} {' ' * start}{mark.paint(f'{line} {mark.label}')}"
        return
    yield f"{left} {' ' * start}{mark.paint(line)}"
    indent = min(start, max(room - _NARROWEST_LABEL, 0))
    for row in textwrap.wrap(mark.label, max(room - indent, _NARROWEST_LABEL)):
        yield f"{left} {' ' * indent}{mark.paint(row)}"
