"""Comments that silence findings.

    x = f(n)  # vllm-lint: ignore[VL201, batch-size-specialization] reason
    x = f(n)  # noqa: VL201
    # vllm-lint: file-ignore[VL2] reason

A comment holds for the statement that it stands in, or for the next one if it stands alone; of a compound statement
that is the header with its decorators, not the body.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from vllm_lint.analyzer.events import SuppressionProblem
from vllm_lint.analyzer.findings import Finding, Span
from vllm_lint.analyzer.rule import Rule
from vllm_lint.analyzer.source import SourceFile

# Tokenizing is slow, and in nearly all files there is nothing to find.
_WORTH_A_LOOK = re.compile(r"#\s*(?:vllm-lint:|(?i:noqa)\s*:.*\bVL\d)")
# Several remarks can share one comment; "#123" is no remark, but the number of an issue.
_REMARK = re.compile(r"(?:^|(?<=\s))#(?!\d)")
_DIRECTIVE = re.compile(r"#\s*vllm-lint:\s*(?P<verb>[\w-]*)\s*(?:\[(?P<codes>[^\]]*)\])?(?P<reason>.*)", re.DOTALL)
_NOQA = re.compile(r"#\s*(?i:noqa)\s*:\s*(?P<codes>[A-Z]+\d+\b(?:[\s,]+[A-Z]+\d+\b)*)(?P<reason>.*)", re.DOTALL)
_PREFIX = re.compile(r"VL\d{1,2}")
_VERBS = ("ignore", "file-ignore")
_NOT_CODE = frozenset(
    {tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}
)


@dataclass
class Suppression:
    """One directive in a comment. `lines` are those that it holds for, None for the whole file."""

    codes: tuple[str, ...]
    """Codes, names and prefixes as written."""
    reason: str
    lines: range | None
    remark: _Remark
    used: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Remark:
    """A part of a comment: the `index`-th of `parts`, which put together are the text of `comment`."""

    span: Span
    comment: Span
    parts: tuple[str, ...]
    index: int

    @property
    def text(self) -> str:
        return self.parts[self.index].rstrip()

    def replaced(self, text: str) -> str:
        """The comment with `text` in place of this part."""
        return "".join((*self.parts[: self.index], text, *self.parts[self.index + 1 :])).rstrip()


class Suppressions:
    """The suppression comments of one file."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        self.entries: list[Suppression] = []
        self._malformed: list[tuple[str, _Remark]] = []

    def add(self, remark: _Remark, lines: range) -> None:
        """Take in a part of a comment that holds for `lines`; what is no directive of ours is passed over."""
        if noqa := _NOQA.match(remark.text):
            codes = tuple(c for c in re.split(r"[\s,]+", noqa["codes"]) if c.startswith("VL") and c != "VL")
            if codes:
                self.entries.append(Suppression(codes, noqa["reason"].strip(), lines, remark))
        elif directive := _DIRECTIVE.match(remark.text):
            codes = tuple(filter(None, map(str.strip, (directive["codes"] or "").split(","))))
            if directive["verb"] not in _VERBS or not codes or {"VL", "ALL"} & set(codes):
                self._malformed.append((directive["verb"], remark))
                return
            where = lines if directive["verb"] == "ignore" else None
            self.entries.append(Suppression(codes, directive["reason"].strip(), where, remark))

    def match(self, finding: Finding, former: Sequence[str] = ()) -> bool:
        """Whether a comment silences `finding`, which counts as its use; `former` names of its rule count as well."""
        found = False
        for entry in self.entries:
            if entry.lines is None or finding.line in entry.lines:
                hits = {code for code in entry.codes if _selects(code, finding.code, finding.name, *former)}
                entry.used |= hits
                found = found or bool(hits)
        return found

    def problems(self, ran: Iterable[type[Rule]]) -> Iterator[SuppressionProblem]:
        """What is wrong with the comments, to be asked for after all findings of the rules that `ran` were matched."""
        judged = [rule.meta for rule in ran if SuppressionProblem not in rule.events]
        for verb, remark in self._malformed:
            yield self._problem("malformed", verb, remark, remark.replaced(""))
        for entry in self.entries:
            if not entry.reason:
                yield self._problem("no-reason", entry.remark.text, entry.remark, entry.remark.replaced(""))
            for code in entry.codes:
                if not any(_selects(code, meta.code, meta.name, *meta.former) for meta in judged):
                    yield self._problem("unknown-code", code, entry.remark, _without(entry, code))
                elif code not in entry.used:
                    yield self._problem("unused", code, entry.remark, _without(entry, code))
                elif any(code in meta.former for meta in judged):
                    yield self._problem("former-name", code, entry.remark, "")

    def _problem(self, kind: str, text: str, remark: _Remark, removal: str) -> SuppressionProblem:
        comment = remark.comment
        before = self._source.lines[comment.line - 1][: comment.column - 1]
        if not removal and before.strip():
            comment = Span(comment.path, comment.line, len(before.rstrip()) + 1, comment.end_line, comment.end_column)
        elif not removal and comment.line < len(self._source.lines):
            comment = Span(comment.path, comment.line, 1, comment.line + 1, 1)  # the whole line
        return SuppressionProblem(span=remark.span, kind=kind, text=text, comment=comment, removal=removal)


def worth_a_look(text: str) -> bool:
    """Whether `text` may hold suppression comments."""
    return _WORTH_A_LOOK.search(text) is not None


def parse_suppressions(source: SourceFile) -> Suppressions:
    """Find the suppression comments of `source`, a file that can be parsed."""
    suppressions = Suppressions(source)
    if not worth_a_look(source.text):
        return suppressions
    for row, column, text, lines in _comments(source.text):
        starts = [match.start() for match in _REMARK.finditer(text)]
        bounds = list(zip(starts, [*starts[1:], len(text)], strict=True))
        parts = tuple(text[a:b] for a, b in bounds)
        comment = Span(source.name, row, column + 1, row, column + 1 + len(text))
        for index, (start, end) in enumerate(bounds):
            span = Span(source.name, row, column + 1 + start, row, column + 1 + start + len(text[start:end].rstrip()))
            suppressions.add(_Remark(span, comment, parts, index), lines)
    return suppressions


def _comments(text: str) -> Iterator[tuple[int, int, str, range]]:
    """Row, column from 0 and text of each comment, and the lines of the statement that it belongs to."""
    waiting: list[tuple[int, int, str]] = []
    first = 0  # row where the statement starts, with its decorators; 0 between statements
    in_line = is_decorator = False
    for token in tokenize.generate_tokens(io.StringIO(text, newline=None).readline):
        row, column = token.start
        if token.type == tokenize.COMMENT:
            waiting.append((row, column, token.string))
        elif token.type == tokenize.NEWLINE:
            in_line = False
            if not is_decorator:
                yield from ((r, c, t, range(min(r, first), row + 1)) for r, c, t in waiting)
                waiting, first = [], 0
        elif not in_line and token.type not in _NOT_CODE:
            in_line = True
            is_decorator = token.string == "@"
            first = first or row
    yield from ((r, c, t, range(r, r + 1)) for r, c, t in waiting)


def _selects(selector: str, code: str, *names: str) -> bool:
    return selector in (code, *names) or (code.startswith(selector) and _PREFIX.fullmatch(selector) is not None)


def _without(entry: Suppression, code: str) -> str:
    """The comment of `entry` without `code`, and without the whole remark if it named nothing else."""
    text = entry.remark.text
    match = _NOQA.match(text) or _DIRECTIVE.match(text)
    assert match is not None
    rest = [c for c in re.split(r"[\s,]+", match["codes"].strip()) if c not in ("", code)]
    separator = ", " if ", " in match["codes"] else ","
    trailing = entry.remark.parts[entry.remark.index][len(text) :]
    kept = text[: match.start("codes")] + separator.join(rest) + text[match.end("codes") :] + trailing
    return entry.remark.replaced(kept if rest else "")
