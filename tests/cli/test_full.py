from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.cli import samples
from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Finding, Span, Step
from vllm_lint.cli.console import cell_width
from vllm_lint.cli.output import full


def render(result: CheckResult, folder: Path, width: int | None = None) -> str:
    context = samples.context(samples.write_sources(folder), width=width)
    return "\n".join(full.render(result, context))


def one(finding: Finding, folder: Path, width: int | None = None) -> str:
    return render(samples.result(finding), folder, width).rsplit("\n\n", 1)[0]


def test_a_path_that_leads_down_to_the_decision_shares_its_window(tmp_path: Path) -> None:
    assert one(samples.finding(), tmp_path) == (
        "error[VL201] batch-size-branch: `if` on `num_tokens // 128 > 1`: "
        "the branch of the traced size is kept for every size\n"
        "  --> model.py:12:12\n"
        "   |\n"
        " 9 |     def forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:\n"
        "   |                       --------- 1. dim 0 of `input_ids` is the number of tokens\n"
        "10 |         hidden = self.embed(input_ids)\n"
        "11 |         num_tokens = hidden.shape[0]\n"
        "   |                      --------------- 2. `num_tokens` is the number of tokens\n"
        "12 |         if num_tokens // 128 > 1:\n"
        "   |            ^^^^^^^^^^^^^^^^^^^^^ 3. decided here, once for all sizes\n"
        "13 |             return self.large(hidden)\n"
        "14 |         if is_large(hidden):\n"
        "   |\n"
        "   = root: ToyModel.forward (vLLM contract)\n"
        "   = promise: C2 right for every number of tokens\n"
        "   = confidence: high\n"
        "   = help: move the decision into a custom operator, or make both branches one computation"
    )


def test_a_path_across_files_is_shown_in_order_each_stretch_with_its_place(tmp_path: Path) -> None:
    text = one(samples.across_files(), tmp_path)
    places = [line.split()[-1] for line in text.splitlines() if "-->" in line or ":::" in line]
    assert places == ["model.py:14:12", "model.py:9:23", "helpers.py:2:20", "helpers.py:2:12"]
    numbers = [text.index(f" {number}. ") for number in (1, 2, 3, 4, 5)]
    assert numbers == sorted(numbers)
    assert "^ 6. decided here" in text
    # Lines 10 to 13 lie between two steps and are left out.
    assert "\n...\n14 |         if is_large(hidden):\n   |                     ------ 2. passed as `x`" in text


def test_a_span_over_several_lines_gets_a_bar_with_both_ends(tmp_path: Path) -> None:
    text = one(samples.multiline(), tmp_path)
    assert (
        "15 |               hidden = torch.where(\n"
        "   |  ______________________^\n"
        "16 | |                 hidden.sum(0) > 0,\n"
    ) in text
    assert "21 | |             )\n   | |_____________^\n" in text


def test_a_bar_begins_beside_a_span_that_begins_its_line(tmp_path: Path) -> None:
    text = one(samples.finding(line=15, column=13, end_line=21, end_column=14, steps=()), tmp_path)
    assert "15 | /             hidden = torch.where(\n16 | |" in text
    assert "21 | |             )\n   | |_____________^\n" in text


def test_the_middle_of_a_long_span_is_left_out(tmp_path: Path) -> None:
    text = one(samples.finding(line=9, column=5, end_line=23, end_column=22, steps=()), tmp_path)
    shown = [int(line.split()[0]) for line in text.splitlines() if line[:2].strip().isdigit()]
    assert shown == [7, 8, 9, 10, 11, 12, 22, 23]
    assert "\n...|\n" in text.replace(" ", "")


def test_carets_stand_under_the_text_after_tabs_and_wide_characters(tmp_path: Path) -> None:
    lines = one(samples.wide_characters(), tmp_path).splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("22 |"))
    carets = lines[row + 1]
    start = sum(map(cell_width, lines[row][: lines[row].index("positions.item()")]))
    assert carets.index("^") == start
    assert carets.count("^") == len("positions.item()")


def test_an_empty_span_gets_one_caret(tmp_path: Path) -> None:
    text = one(samples.finding(end_column=12, steps=()), tmp_path)
    assert text.count("^") == 1


def test_control_characters_of_the_source_do_not_reach_the_terminal(tmp_path: Path) -> None:
    samples.write_sources(tmp_path)
    (tmp_path / "evil.py").write_text("x = '\x1b[31m\u202e' if n > 1 else 2\n", encoding="utf-8")
    evil = samples.finding(path="evil.py", line=1, end_line=1, message="`\x1b]0;title\x07`", steps=())
    text = one(evil, tmp_path)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "x = '␛[31m" in text


def test_form_feeds_do_not_shift_line_numbers(tmp_path: Path) -> None:
    (tmp_path / "paged.py").write_text("a = 1\n\x0c\nb = n > 1\n", encoding="utf-8")
    found = samples.finding(path="paged.py", line=3, column=5, end_line=3, end_column=10, steps=())
    text = "\n".join(full.render(samples.result(found), samples.context(tmp_path)))
    assert "3 | b = n > 1\n  |     ^^^^^" in text


def test_a_file_that_cannot_be_read_has_no_window(tmp_path: Path) -> None:
    assert one(samples.unreadable(), tmp_path) == "error[VL001] unreadable-file: permission denied\n --> gone.py:1:1"


def test_a_file_that_got_shorter_meanwhile_does_no_harm(tmp_path: Path) -> None:
    samples.write_sources(tmp_path)
    (tmp_path / "model.py").write_text("x = 1\n")
    text = "\n".join(full.render(samples.result(samples.multiline(), samples.finding()), samples.context(tmp_path)))
    assert "--> model.py:15:22" in text


@pytest.mark.parametrize("width", [80, 120])
def test_everything_fits_the_terminal(tmp_path: Path, width: int) -> None:
    text = render(samples.everything(), tmp_path, width)
    assert max(sum(map(cell_width, line)) for line in text.splitlines()) <= width


def test_a_mark_far_to_the_right_stays_in_sight(tmp_path: Path) -> None:
    line = f"x = [{'0, ' * 100}n > 64]"
    (tmp_path / "long.py").write_text(f"{line}\n")
    column = line.index("n > 64") + 1
    found = samples.finding(
        path="long.py", line=1, end_line=1, column=column, end_column=column + 6, steps=(), message="m"
    )
    lines = list(full.render(samples.result(found), samples.context(tmp_path, width=80)))
    source, carets = next(pair for pair in pairwise(lines) if pair[0].startswith("1 |"))
    assert carets.index("^") == source.index("n > 64")
    assert "…" in source


def test_color_marks_only_colored_output(tmp_path: Path) -> None:
    folder = samples.write_sources(tmp_path)
    plain = "\n".join(full.render(samples.everything(), samples.context(folder)))
    colored = "\n".join(full.render(samples.everything(), samples.context(folder, color=True)))
    assert "\x1b[" not in plain
    assert "\x1b[31m\x1b[1merror[VL201]\x1b[0m" in colored


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (samples.everything(), "Found 4 errors and 1 warning (2 suppressed) in 2 files, 1 compiled root"),
        (samples.result(samples.finding()), "Found 1 error in 2 files, 1 compiled root"),
        (samples.result(suppressed=1), "No findings (1 suppressed): 2 files, 1 compiled root"),
    ],
)
def test_the_summary_counts(tmp_path: Path, result: CheckResult, line: str) -> None:
    assert render(result, tmp_path).splitlines()[-1] == line


def test_a_step_elsewhere_than_the_decision_keeps_its_own_mark(tmp_path: Path) -> None:
    steps = (Step(Span("model.py", 11, 22, 11, 37), "`num_tokens` is the number of tokens"),)
    text = one(samples.finding(steps=steps), tmp_path)
    assert "--------------- 1. `num_tokens` is the number of tokens" in text
    assert "^^^^^^^^^^^^^^^^^^^^^\n" in text
