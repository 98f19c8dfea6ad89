from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_lint.analyzer.events import FileProblem
from vllm_lint.analyzer.findings import Span
from vllm_lint.analyzer.source import SourceFile, UnparsableError, read_source


def read(data: bytes) -> SourceFile:
    source = read_source(Path("m.py"), "m.py", data)
    assert isinstance(source, SourceFile)
    return source


def problem(data: bytes) -> FileProblem:
    """What is wrong with `data`, found when it is read or when it is parsed."""
    source = read_source(Path("m.py"), "m.py", data)
    found = source.problem if isinstance(source, SourceFile) else source
    assert found is not None
    assert "\n" not in found.reason
    return found


def refusal(path: Path) -> str:
    found = read_source(path, "m.py")
    assert isinstance(found, FileProblem)
    assert found.kind == "unreadable"
    assert found.span == Span("m.py", 1, 1, 1, 1)
    return found.reason


def names(source: SourceFile) -> Iterator[ast.Name]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.Name))


def test_file_is_read_as_it_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_bytes("größe = 1\r\n".encode())
    source = read_source(path, "models/m.py")
    assert isinstance(source, SourceFile)
    assert (source.path, source.name, source.text) == (path, "models/m.py", "größe = 1\r\n")
    assert source.digest == read(path.read_bytes()).digest
    assert source.digest != read("größe = 1\n".encode()).digest


def test_empty_file() -> None:
    source = read(b"")
    assert source.problem is None
    assert source.tree.body == []
    assert source.lines == [""]


@pytest.mark.parametrize("data", [b"def f(:\n", b"x = (\n", b'"""never closed\n', b"if x:\npass\n", b"\tx\n  y\n"])
def test_syntax_error_has_a_place_in_the_file(data: bytes) -> None:
    found = problem(data)
    source = read(data)
    assert found.kind == "unparsable"
    assert found.reason.startswith(f"not valid Python {sys.version_info[0]}.{sys.version_info[1]}: ")
    assert 1 <= found.span.line <= len(source.lines)
    assert 1 <= found.span.column <= len(source.lines[found.span.line - 1]) + 1
    with pytest.raises(UnparsableError) as caught:
        _ = source.tree
    assert caught.value.problem is found or caught.value.problem == found


def test_syntax_error_column_counts_characters() -> None:
    assert problem("größe = 'ä' $ 1\n".encode()).span == Span("m.py", 1, 13, 1, 14)


@pytest.mark.parametrize("statement", ["print 'loading'", "exec 'x = 1'", "mode = 0755"])
def test_python_2(statement: str) -> None:
    assert problem(f"import os\n{statement}\n".encode()).reason.startswith("this looks like Python 2: ")


def test_nul_byte() -> None:
    found = problem(b"x = 1\ny = '\xc3\xa4\0'\n")
    assert (found.kind, found.span.line, found.span.column) == ("unparsable", 2, 7)
    assert "NUL" in found.reason


def test_utf16() -> None:
    assert problem("x = 1\n".encode("utf-16")).kind == "unreadable"
    assert "UTF-16" in problem("x = 1\n".encode("utf-16-le")).reason


def test_bytes_that_are_not_utf8() -> None:
    found = problem(b"a = 1\nb = 2\nc = 3\nsize = 'gr\xf6\xdfe'\n")
    assert found.kind == "unreadable"
    assert found.reason == "not utf-8: byte 0xf6"
    assert (found.span.line, found.span.column) == (4, 11)
    assert problem(b"x = '\xff'\n").reason == "not utf-8: byte 0xff"


def test_coding_comment_is_honoured() -> None:
    source = read("# -*- coding: latin-1 -*-\nx = 'größe' + y\n".encode("latin-1"))
    assert "größe" in source.text
    assert [source.span(node) for node in names(source) if node.id == "y"] == [Span("m.py", 2, 15, 2, 16)]


@pytest.mark.parametrize("codec", ["utf-9", "hex", "undefined"])
def test_coding_comment_without_use(codec: str) -> None:
    found = problem(f"# coding: {codec}\nx = 1\n".encode())
    assert found.kind == "unreadable"
    assert codec in found.reason


def test_lone_surrogate() -> None:
    assert problem(b"# coding: raw_unicode_escape\nx = '\\ud800'\n").kind == "unparsable"


def test_byte_order_mark() -> None:
    source = read(b"\xef\xbb\xbfx = y\n")
    assert source.text == "x = y\n"
    assert [source.span(node).column for node in names(source)] == [1, 5]
    assert "byte order mark" in problem(b"\xef\xbb\xbf# coding: latin-1\n").reason


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends(end: str) -> None:
    source = read(f"if a:{end}    b = '''{end}'''{end}    c\x0c = d{end}".encode())
    assert {node.id: source.span(node).line for node in names(source)} == {"a": 1, "b": 2, "c": 4, "d": 4}
    assert {node.id: source.segment(node) for node in names(source)} == {n: n for n in "abcd"}


def test_form_feeds_do_not_end_lines() -> None:
    source = read(b"a = 1\n\x0c\nb = '\x0c\x1c\x85'.join(c)\n".replace(b"\x85", b"\xc2\x85"))
    assert {node.id: source.segment(node) for node in names(source)} == {"a": "a", "b": "b", "c": "c"}
    assert [source.span(node).line for node in names(source)] == [1, 3, 3]


def test_fifty_thousand_lines() -> None:
    source = read(b"x = y\n" * 50_000)
    last = source.tree.body[-1]
    assert source.span(last) == Span("m.py", 50_000, 1, 50_000, 6)
    assert source.segment(last) == "x = y"


@pytest.mark.parametrize("text", ["(" * 5_000, "x = " + "-" * 100_000 + "1", "x = " + "[" * 150 + "]" * 150])
def test_deep_nesting_is_a_problem_at_most(text: str) -> None:
    source = read(text.encode())
    if source.problem is not None:
        assert source.problem.kind == "unparsable"


def test_nesting_beyond_the_parser() -> None:
    assert problem(b"x = " + b"-" * 100_000 + b"1").reason == "nested too deeply for Python's parser"


def test_warnings_of_the_checked_code_stay_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(b"x = '\\d'\nassert (1, 'never')\nif x is 1: pass\n").problem is None


def test_segment_over_several_lines() -> None:
    source = read("größe = (ä +\r\n  ö)  # ende\r\n".encode())
    assignment = source.tree.body[0]
    assert isinstance(assignment, ast.Assign)
    assert source.segment(assignment.value) == "ä +\n  ö"
    assert source.segment(assignment) == "größe = (ä +\n  ö)"


IDENTIFIERS = st.from_regex("[a-zäßñ变量\U0001d431]{1,4}", fullmatch=True).filter(lambda name: name.isidentifier())
FILLERS = st.text(st.characters(exclude_characters="'\\\r\n\0", exclude_categories=["Cs"]), max_size=6)


@given(st.lists(st.tuples(FILLERS, IDENTIFIERS), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n", "\r"]))
def test_spans_cut_out_what_the_parser_saw(parts: list[tuple[str, str]], end: str) -> None:
    text = "(" + f",{end}".join(f"'{filler}', v{name}" for filler, name in parts) + ")"
    source = read(text.encode())
    for node, (_, name) in zip(names(source), parts, strict=True):
        span = source.span(node)
        assert span.line == span.end_line
        assert source.lines[span.line - 1][span.column - 1 : span.end_column - 1] == f"v{name}"
        assert source.segment(node) == f"v{name}"


@given(st.text(st.sampled_from("ab \n\r\x0c\x0b\x1c\x85\u2028'")))
def test_lines_are_those_of_the_parser(text: str) -> None:
    source = read(("'''" + text.replace("'", "") + "'''\nlast").encode())
    assert source.span(source.tree.body[-1]).line == len(source.lines)


def test_places_in_format_strings_lie_in_the_file() -> None:
    source = read("x = f'ä{größe!r:>{breite}}' f'''\n{\n  wert}'''\n".encode())
    for node in names(source):
        span = source.span(node)
        assert 1 <= span.line <= span.end_line <= len(source.lines)
        assert 1 <= span.column <= len(source.lines[span.line - 1]) + 1


def test_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.py") == "no such file or directory"


def test_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "m.py").symlink_to("gone.py")
    assert refusal(tmp_path / "m.py") == "dangling link to gone.py"


def test_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.py").symlink_to("b.py")
    (tmp_path / "b.py").symlink_to("a.py")
    assert refusal(tmp_path / "a.py") == "link that leads back to itself"


def test_folder_named_like_a_file(tmp_path: Path) -> None:
    (tmp_path / "m.py").mkdir()
    assert refusal(tmp_path / "m.py") == "is a directory"


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.py")
    assert refusal(tmp_path / "m.py") == "not a regular file"


def test_file_without_permission(closed_to_us: Path) -> None:
    path = closed_to_us / "m.py"
    path.write_text("x = 1\n")
    path.chmod(0)
    assert refusal(path) == "permission denied"
