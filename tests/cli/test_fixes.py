"""Fixes are applied whole, to the file that was checked, or not at all."""

from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli import samples
from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import CheckResult, FileReport, Settings
from vllm_lint.analyzer.findings import Edit, Fix, Span
from vllm_lint.analyzer.rule import Rule
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.cli import fixes
from vllm_lint.cli.main import main

HEAD = """import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile


@support_torch_compile
class M(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
"""


def model(*lines: str) -> str:
    return HEAD + "".join(f"        {line}\n" for line in (*lines, "return x * 2"))


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> Result:
    options = ("--isolated", "--no-cache")
    return CliRunner().invoke(main, ["check", *options, *arguments, str(folder)], input=stdin)


def fixed(tmp_path: Path, text: str | bytes, *arguments: str) -> str:
    path = tmp_path / "model.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    run(path, "--fix", *arguments)
    return path.read_bytes().decode()


def source(tmp_path: Path, text: str) -> SourceFile:
    path = tmp_path / "a.py"
    path.write_text(text)
    read = read_source(path, "a.py")
    assert isinstance(read, SourceFile)
    return read


def fix(*edits: tuple[int, int, int, str]) -> Fix:
    """Edits of one line each: the line, the first column, the one behind the last, the new text."""
    return Fix("change", "safe", tuple(Edit(Span("a.py", n, a, n, b), new) for n, a, b, new in edits))


def test_a_statement_is_put_under_a_condition_and_comments_stay(tmp_path: Path) -> None:
    text = model("# before", "print(x.shape)  # why", "print(", "    x,", ")")
    wanted = model(
        "# before",
        "if not torch.compiler.is_compiling():",
        "    print(x.shape)  # why",
        "if not torch.compiler.is_compiling():",
        "    print(",
        "        x,",
        "    )",
    )
    assert fixed(tmp_path, text) == wanted
    assert fixed(tmp_path, wanted) == wanted


def test_texts_on_several_lines_that_python_joins_are_no_obstacle(tmp_path: Path) -> None:
    lines = ("print(", "    'one '", "    f'two {x.ndim} '", "    'three'", ")")
    wanted = model("if not torch.compiler.is_compiling():", *(f"    {line}" for line in lines))
    assert fixed(tmp_path, model(*lines)) == wanted


@pytest.mark.parametrize("width", [79, 88, 100, 120])
def test_what_gets_too_long_has_an_argument_on_each_line(tmp_path: Path, width: int) -> None:
    path = tmp_path / "model.py"
    for spare in range(6):
        start = "        print(x.shape, '"
        path.write_text(model(f"{start[8:]}{'-' * (width - len(start) - 2 - spare)}')").replace("'", '"'))
        assert _is_formatted(path, width)
        run(path, "--fix")
        assert "is_compiling" in path.read_text()
        assert _is_formatted(path, width)


def _is_formatted(path: Path, width: int) -> bool:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--check", "--line-length", str(width), str(path)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    "lines",
    [
        ("y = print(x.shape)",),  # somebody wants the result
        ("if x.dim() == 2: print(x.shape)",),  # it shares its line
        ("print(x.shape); y = 1",),
        ('print("""', "two lines", '""", x.shape)'),  # indenting would change the text
        ('print(f"""{x.ndim}', "two lines", '""", x.shape)'),
        ("print('one \\", "two', x.shape)"),
        ("torch = None", "print(x.shape)"),
    ],
)
def test_what_cannot_be_put_under_a_condition_is_left(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert fixed(tmp_path, model(*lines)) == model(*lines)


def test_a_module_that_calls_it_otherwise_is_left(tmp_path: Path) -> None:
    text = model("print(x.shape)").replace("import torch\n", "import torch as t\n").replace(": torch.", ": t.")
    assert "print" in text
    assert fixed(tmp_path, text.replace("-> torch.", "-> t.")) == text.replace("-> torch.", "-> t.")


def test_line_ends_byte_order_mark_encoding_tabs_and_permissions_are_kept(tmp_path: Path) -> None:
    text = model("print('ä', x.shape)").replace("        ", "\t\t").replace("    def", "\tdef").replace("\n", "\r\n")
    path = tmp_path / "model.py"
    path.write_bytes(text.encode("utf-8-sig"))
    path.chmod(0o750)
    run(path, "--fix")
    wanted = text.replace(
        "\t\tprint('ä', x.shape)", "\t\tif not torch.compiler.is_compiling():\r\n\t\t\tprint('ä', x.shape)"
    )
    assert path.read_bytes() == wanted.encode("utf-8-sig")
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert [p.name for p in tmp_path.iterdir()] == ["model.py"]


def test_latin_1_stays_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_bytes(("# coding: latin-1\n" + model("print('ä', x.shape)")).encode("latin-1"))
    run(path, "--fix")
    assert "    print('ä', x.shape)".encode("latin-1") in path.read_bytes()


def test_of_a_link_the_target_is_changed(tmp_path: Path) -> None:
    real = tmp_path / "real" / "model.py"
    real.parent.mkdir()
    real.write_text(model("print(x)"))
    link = tmp_path / "model.py"
    link.symlink_to(real)
    run(link, "--fix")
    assert link.is_symlink()
    assert "is_compiling" in real.read_text()


def test_plain_compile_needs_unsafe_fixes(tmp_path: Path) -> None:
    plain = model("print(x.shape)").replace("@support_torch_compile\n", "@torch.compile\n")
    plain = plain.replace("class M(nn.Module):\n", "").replace("    def forward(self, ", "def forward(")
    plain = plain.replace("        ", "    ")
    assert fixed(tmp_path, plain) == plain
    assert "is_compiling" in fixed(tmp_path, plain, "--unsafe-fixes")


def test_diff_writes_nothing_and_says_by_its_status_that_there_is_something(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(model("print(x.shape)"))
    result = run(path, "--diff")
    assert result.exit_code == 1
    assert "+        if not torch.compiler.is_compiling():\n" in result.stdout
    assert result.stderr == "vllm-lint: would apply 1 fix in 1 file\n"
    assert path.read_text() == model("print(x.shape)")
    path.write_text(model())
    assert (run(path, "--diff").exit_code, run(path, "--diff").stdout) == (0, "")


def test_a_diff_goes_to_the_file_that_is_asked_for(tmp_path: Path) -> None:
    path, out = tmp_path / "model.py", tmp_path / "fixes.patch"
    path.write_text(model("print(x.shape)"))
    result = run(path, "--diff", "--output-file", str(out), "--exit-zero")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "+        if not torch.compiler.is_compiling():\n" in out.read_text()
    result = run(path, "--diff", "--output-file", str(tmp_path / "none" / "fixes.patch"))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_diff_of_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(Path("-"), "--diff", "--stdin-filename", "m.py", stdin=model("print(x)").encode())
    assert result.stdout.startswith("--- a/m.py\n+++ b/m.py\n")


def test_diff_of_standard_input_that_has_an_absolute_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = model("if x.size(0) % 128 == 0:", "    x = x + 1").encode()
    arguments = ("--diff", "--unsafe-fixes", "--stdin-filename")
    result = run(Path("-"), *arguments, str(tmp_path / "m.py"), stdin=text)
    assert "would apply 1 fix" in result.stderr
    assert result.stdout == run(Path("-"), *arguments, "m.py", stdin=text).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fix", "--diff"), "--fix and --diff exclude each other"),
        (("--unsafe-fixes",), "--unsafe-fixes goes with --fix or --diff"),
        (("--diff", "--output-format", "json"), "--output-format and --diff exclude each other"),
        (("--diff", "--statistics"), "--statistics and --diff exclude each other"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(tmp_path, *arguments)
    assert (result.exit_code, result.stderr) == (2, f"vllm-lint: error: {said}\n")


def test_standard_input_cannot_be_fixed() -> None:
    result = run(Path("-"), "--fix", stdin=b"x = 1\n")
    assert (result.exit_code, result.stderr) == (
        2,
        "vllm-lint: error: --fix needs files, and cannot write to the path -\n",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(model("print(x)"))
    tmp_path.chmod(0o500)
    result = run(path, "--fix")
    tmp_path.chmod(0o700)
    assert result.exit_code == 2
    assert "not fixed: permission denied" in result.stderr
    assert path.read_text() == model("print(x)")


def test_a_file_that_changed_since_it_was_checked_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.py"
    path.write_text(model("print(x)"))
    check = engine.check

    def change_meanwhile(settings: Settings, rules: tuple[type[Rule], ...]) -> CheckResult:
        result = check(settings, rules)
        path.write_text("# mine\n" + path.read_text())
        return result

    monkeypatch.setattr(engine, "check", change_meanwhile)
    result = run(path, "--fix")
    assert result.exit_code == 2
    assert "not fixed: it changed since it was checked" in result.stderr
    assert path.read_text() == "# mine\n" + model("print(x)")


def test_a_file_that_changes_before_it_is_written_is_left(tmp_path: Path) -> None:
    read = source(tmp_path, "a = 1\n")
    rewrite = fixes.rewritten(read, [fix((1, 5, 6, "2"))])
    read.path.write_text("a = 3\n")
    with pytest.raises(OSError, match="it changed while it was being fixed"):
        rewrite.write()
    assert read.path.read_text() == "a = 3\n"


def test_of_overlapping_fixes_the_first_is_applied_and_equal_edits_are_made_once(tmp_path: Path) -> None:
    read = source(tmp_path, "a = b + c\n")
    add = (1, 1, 1, "import d\n")
    rewrite = fixes.rewritten(read, [fix((1, 5, 10, "d.e"), add), fix((1, 9, 10, "f")), fix((1, 1, 2, "x"), add)])
    assert (rewrite.text, rewrite.applied, rewrite.skipped) == ("import d\nx = d.e\n", 2, 1)


def test_two_insertions_at_one_place_wait_for_each_other(tmp_path: Path) -> None:
    rewrite = fixes.rewritten(source(tmp_path, "a = 1\n"), [fix((1, 1, 1, "b = 2\n")), fix((1, 1, 1, "c = 3\n"))])
    assert (rewrite.text, rewrite.applied, rewrite.skipped) == ("b = 2\na = 1\n", 1, 1)


def test_a_fix_that_breaks_the_file_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    read = source(tmp_path, "a = 1\nb = 2\n")
    rewrite = fixes.rewritten(read, [fix((1, 5, 6, "(")), fix((2, 5, 6, "3"))])
    assert (rewrite.text, rewrite.applied) == ("a = 1\nb = 3\n", 1)
    ast.parse(rewrite.text)


def test_a_fix_that_was_left_out_is_told(tmp_path: Path) -> None:
    read = source(tmp_path, "a = 1\n")
    finding = samples.finding(path="a.py", line=1, end_line=1, fixes=(fix((1, 5, 6, "(")),))
    report = FileReport("a.py", "not reached", "", read.digest)
    result = CheckResult(findings=(finding,), errors=(), files=(report,), roots=(), suppressed=0)
    found = fixes.rewrites(result, tmp_path, unsafe=False)
    assert not found.files
    assert [e.message for e in found.errors] == ["not fixed: 1 of 1 fixes would leave something that is not Python"]
