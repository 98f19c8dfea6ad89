from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_lint.analyzer.events import SuppressionProblem
from vllm_lint.analyzer.findings import Confidence, Finding, Promise, Severity, Span
from vllm_lint.analyzer.rule import Meta, Rule
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.analyzer.suppressions import Suppressions, parse_suppressions


class BatchSizeBranch(Rule):
    meta = Meta("VL201", "batch-size-branch", Promise.ALL_SIZES, Severity.ERROR, "static only, because this is a test")


class PrintInGraph(Rule):
    meta = Meta("VL103", "print-in-graph", Promise.CAPTURE, Severity.ERROR, "static only, because this is a test")


RAN: Sequence[type[Rule]] = (BatchSizeBranch, PrintInGraph)


def parse(text: str) -> Suppressions:
    source = read_source(Path("m.py"), "m.py", dedent(text).encode())
    assert isinstance(source, SourceFile)
    assert source.problem is None
    return parse_suppressions(source)


def finding(line: int, rule: type[Rule] = BatchSizeBranch, end_line: int = 0) -> Finding:
    return Finding(
        code=rule.meta.code,
        name=rule.meta.name,
        severity=rule.meta.severity,
        confidence=Confidence.HIGH,
        promise=rule.meta.promise,
        path="m.py",
        line=line,
        column=1,
        end_line=end_line or line,
        end_column=2,
        message="",
    )


def silenced(text: str, rule: type[Rule] = BatchSizeBranch) -> list[int]:
    """Lines on which a finding of `rule` is silenced."""
    suppressions = parse(text)
    return [line for line in range(1, dedent(text).count("\n") + 2) if suppressions.match(finding(line, rule))]


def problems(text: str, *, used: Sequence[tuple[int, type[Rule]]] = ()) -> list[tuple[str, str]]:
    suppressions = parse(text)
    for line, rule in used:
        assert suppressions.match(finding(line, rule))
    return [(p.kind, p.text) for p in suppressions.problems(RAN)]


def removed(text: str, kind: str = "unused") -> list[str]:
    """The text after the repair of each problem of `kind`, one at a time."""
    return [apply(text, p) for p in parse(text).problems(RAN) if p.kind == kind]


def apply(text: str, problem: SuppressionProblem) -> str:
    lines = text.splitlines(keepends=True)
    span = problem.comment
    start = sum(map(len, lines[: span.line - 1])) + span.column - 1
    end = sum(map(len, lines[: span.end_line - 1])) + span.end_column - 1
    return text[:start] + problem.removal + text[end:]


@pytest.mark.parametrize(
    "comment",
    [
        "# vllm-lint: ignore[VL201] sizes are fixed",
        "# vllm-lint: ignore[batch-size-branch]",
        "#vllm-lint:ignore[ VL103 ,VL201 ]reason",
        "# vllm-lint: ignore[VL2]",
        "# vllm-lint: ignore[VL20] see #123",
        "# type: ignore[attr-defined]  # vllm-lint: ignore[VL201] reason",
        "# noqa: VL201",
        "# NOQA:E501,VL201",
        "# noqa: VL103 VL201 sizes are fixed",
        "# a remark # noqa: VL2",
    ],
)
def test_comment_that_silences(comment: str) -> None:
    assert silenced(f"x = 1  {comment}\ny = 2\n") == [1]


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: E501",
        "# noqa: VL103",
        "# vllm-lint: ignore",
        "# vllm-lint: ignore[]",
        "# vllm-lint: ignore[VL]",
        "# vllm-lint: ignore[ALL]",
        "# vllm-lint: ignore[VL2010]",
        "# vllm-lint: ignore[batch]",
        "# say vllm-lint: ignore[VL201]",
        "# say noqa: VL201",
    ],
)
def test_comment_that_does_not_silence(comment: str) -> None:
    assert silenced(f"x = 1  {comment}\ny = 2\n") == []


def test_text_that_is_no_comment() -> None:
    assert silenced("x = '# vllm-lint: ignore[VL201]'\n'''\n# vllm-lint: ignore[VL201]\n'''\n") == []


def test_whole_simple_statement() -> None:
    text = """\
        before = 1
        x = call(
            a,  # vllm-lint: ignore[VL201]
            '''
            text''',
        )
        after = 1
        """
    assert silenced(text) == [2, 3, 4, 5, 6]
    assert silenced("x = a + \\\n  b  # noqa: VL201\ny = 1\n") == [1, 2]


def test_header_of_a_compound_statement() -> None:
    text = """\
        @decorator(
            1,
        )
        # about the next decorator
        @other
        def forward(  # vllm-lint: ignore[VL201]
            x,
        ):
            return x
        """
    assert silenced(text) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert silenced(text.replace("  # vllm-lint: ignore[VL201]", "").replace("@other", "@other  # noqa: VL201")) == [
        1, 2, 3, 4, 5, 6, 7, 8,
    ]  # fmt: skip
    assert silenced("if n > 1:  # noqa: VL201\n    x = 1\nelif n > 2:\n    x = 2\n") == [1]
    assert silenced("if n > 1:\n    x = 1\nelif n > 2:  # noqa: VL201\n    x = 2\n") == [3]
    assert silenced("while n: n = f(\n    n)  # noqa: VL201\n") == [1, 2]


def test_comment_alone_holds_for_the_next_statement() -> None:
    text = """\
        x = 1
        # vllm-lint: ignore[VL201] reason

        # another remark
        if (
            n > 1
        ):
            y = 1
        """
    assert silenced(text) == [2, 3, 4, 5, 6, 7]
    assert silenced("def f():\n    x = 1\n    # noqa: VL201\ny = 1\n") == [3, 4]
    assert silenced("x = 1\n# noqa: VL201") == [2]


def test_whole_file() -> None:
    text = "x = 1\nif x:\n    pass\n# vllm-lint: file-ignore[VL201] generated\n"
    assert silenced(text) == [1, 2, 3, 4, 5]
    assert silenced(text, PrintInGraph) == []


def test_only_where_the_finding_starts() -> None:
    suppressions = parse("if n:\n    x = 1  # noqa: VL201\n")
    assert not suppressions.match(finding(1, end_line=2))
    assert suppressions.match(finding(2))


def test_reason_is_kept() -> None:
    text = "x = 1  # vllm-lint: ignore[VL201] see #123, and: why # pragma: no cover\ny = 2  # noqa: VL103  static\n"
    assert [entry.reason for entry in parse(text).entries] == ["see #123, and: why", "static"]


def test_unused() -> None:
    text = "x = 1  # vllm-lint: ignore[VL201, print-in-graph] reason\n# vllm-lint: file-ignore[VL1] reason\n"
    assert problems(text) == [("unused", "VL201"), ("unused", "print-in-graph"), ("unused", "VL1")]
    assert problems(text, used=[(1, PrintInGraph)]) == [("unused", "VL201")]
    assert problems(text, used=[(1, PrintInGraph), (1, BatchSizeBranch)]) == []


def test_code_of_no_rule_that_ran() -> None:
    assert problems("x = 1  # noqa: VL999, E501 reason\n") == [("unknown-code", "VL999")]
    assert problems("x = 1  # vllm-lint: ignore[batch-size-brunch] reason\n") == [("unknown-code", "batch-size-brunch")]


@pytest.mark.parametrize(
    ("comment", "verb"),
    [
        ("# vllm-lint: ignore", "ignore"),
        ("# vllm-lint: ignore VL201", "ignore"),
        ("# vllm-lint: file-ignore[ , ]", "file-ignore"),
        ("# vllm-lint: ignore[ALL]", "ignore"),
        ("# vllm-lint: ingore[VL201]", "ingore"),
        ("# vllm-lint:", ""),
    ],
)
def test_malformed(comment: str, verb: str) -> None:
    assert problems(f"x = 1  {comment}\n") == [("malformed", verb)]


def test_foreign_comments_are_nobodys_problem() -> None:
    assert problems("x = 1  # noqa\ny = 1  # noqa: E501, F401\nz = 1  # type: ignore\n") == []


def test_without_reason() -> None:
    comment = "# vllm-lint: ignore[VL201]"
    assert problems(f"x = 1  {comment}\n", used=[(1, BatchSizeBranch)]) == [("no-reason", comment)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1  # noqa: VL201 r\n", "x = 1\n"),
        ("x = 1  # noqa: E501, VL201, F401\n", "x = 1  # noqa: E501, F401\n"),
        ("x = 1  # noqa: VL201,E501\n", "x = 1  # noqa: E501\n"),
        ("x = 1  # vllm-lint: ignore[VL201, VL5] r\n", "x = 1  # vllm-lint: ignore[VL5] r\n"),
        ("x = 1  # type: ignore  # vllm-lint: ignore[VL201] r\n", "x = 1  # type: ignore\n"),
        ("x = 1  # vllm-lint: ignore[VL201] r # see #4\n", "x = 1  # see #4\n"),
        ("x = 1\n    # vllm-lint: ignore[VL201] r\ny = 2\n", "x = 1\ny = 2\n"),
        ("x = 1\n# noqa: VL201 r", "x = 1\n"),
        ("größe = 'ä'  # noqa: VL201 r\n", "größe = 'ä'\n"),
    ],
)
def test_removal(before: str, after: str) -> None:
    assert removed(before) == [after]


def test_place_is_that_of_the_remark() -> None:
    [problem] = parse("größe = 1  # type: ignore  # noqa: VL201 r\n").problems(RAN)
    assert problem.span == Span("m.py", 1, 28, 1, 43)


def test_line_ends_and_form_feeds() -> None:
    assert silenced("x = 1\r\ny = 1  # noqa: VL201\r\n") == [2]
    assert parse("x = 1\ry = '''\x0c'''\rz = 1  # noqa: VL201\r").match(finding(3))


CODES = st.lists(st.sampled_from(["VL201", "VL103", "E501", "VL777", "F401"]), min_size=1, max_size=5, unique=True)


@given(CODES, st.sampled_from([",", ", ", " ", " , "]), st.sampled_from(["", "  # type: ignore"]))
def test_removing_what_is_unused_ends(codes: list[str], separator: str, tail: str) -> None:
    """However codes are written, repairs leave exactly the codes of others."""
    text = f"x = 1  # noqa: {separator.join(codes)}{tail}\n"
    for _ in codes:
        repaired = removed(text) + removed(text, "unknown-code")
        text = repaired[0] if repaired else text
    assert removed(text) + removed(text, "unknown-code") == []
    assert re.findall(r"[A-Z]+\d+", text) == [code for code in codes if not code.startswith("VL")]
    assert text.startswith("x = 1")
    assert text.rstrip().endswith(tail.strip())
