"""What the figures about accuracy are computed with."""

from __future__ import annotations

import ast

import pytest

from benchmarks.accuracy.edits import EDITS, Edit
from benchmarks.accuracy.mutate import said, score
from benchmarks.accuracy.planting import Mutant, Site, assignments, planted
from benchmarks.accuracy.scores import table
from vllm_lint.analyzer.findings import Confidence, Finding, Promise, Severity
from vllm_lint.rules.catalogue import RULES

SITE = Site("vllm", "Model", "pkg.model", "Layer.forward", "hidden", 1, 3, "pkg.model:Model")
ROOT = Site("vllm", "Model", "pkg.model", "Model.forward", "positions", 0, 1, "pkg.model:Model")
TEXT = '''\
import torch


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, hidden):
        """What it does."""
        return hidden


@support_torch_compile(
    dynamic_arg_dims={"positions": 0},
)
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()

    def forward(
        self,
        positions: torch.Tensor,
    ):
        return positions
'''
DECORATOR, ARGUMENT = TEXT.splitlines()[12:15], "        positions: torch.Tensor,"


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit.rule}-{edit.name}")
def test_every_edit_is_of_a_rule_and_leaves_python(edit: Edit) -> None:
    assert edit.rule in {rule.meta.code for rule in RULES}
    text, (mutant,) = planted(TEXT, [(ROOT if edit.of_root else SITE, edit)])
    ast.parse(text)
    assert (mutant.marked in mutant.lines) == bool(edit.finds)
    assert (mutant.shown in mutant.lines) == bool(edit.finds)
    kept = [line for number, line in enumerate(text.splitlines(), 1) if number not in mutant.lines]
    replaced = [*(DECORATOR if edit.decorator else ()), *([ARGUMENT] if edit.argument else ())]
    assert [line for line in kept if line] == [line for line in TEXT.splitlines() if line and line not in replaced]


@pytest.mark.parametrize("rule", [rule.meta.code for rule in RULES if not rule.meta.code.startswith("VL0")])
def test_every_rule_has_an_edit_that_breaks_and_one_that_does_not(rule: str) -> None:
    assert {bool(edit.finds) for edit in EDITS if edit.rule == rule} == {True, False}


def test_names_of_edits_are_their_own() -> None:
    assert len({(edit.rule, edit.name) for edit in EDITS}) == len(EDITS)


def test_several_edits_of_a_file_do_not_meet() -> None:
    edits = [edit for edit in EDITS if edit.top][:2]
    text, (first, second) = planted(TEXT, [(SITE, edit) for edit in edits])
    assert not {*first.lines} & {*second.lines}
    assert "planted0" in text
    assert "planted1" in text


def test_a_run_shows_the_defect_of_an_operator_at_its_call() -> None:
    edit = Edit("a", "{x} = planted({x})  # shown", finds="VL301", top="def planted(x):  # here\n    return x\n")
    text, (mutant,) = planted(TEXT, [(SITE, edit)])
    lines = text.splitlines()
    assert lines[mutant.marked - 1] == "def planted0(x):  # here0"
    assert lines[mutant.shown - 1] == "        hidden = planted0(hidden)  # shown0"


def test_the_seed_decides_and_no_site_gets_an_edit_twice() -> None:
    sites = [SITE] * 5
    rounds = list(assignments(sites, EDITS, 6, seed=3))
    assert rounds == list(assignments(sites, EDITS, 6, seed=3))
    assert rounds != list(assignments(sites, EDITS, 6, seed=4))
    for number in range(len(sites)):
        assert len({(chosen[number][1].rule, chosen[number][1].name) for chosen in rounds}) == 6


def test_edits_go_where_they_fit() -> None:
    foreign = Site("transformers", "model", "pkg.model", "Layer.forward", "hidden", 1, 3, "pkg.model:Model", False)
    for chosen in assignments([SITE, ROOT, foreign], EDITS, 8, seed=0):
        by_site = dict(chosen)
        assert by_site[ROOT].of_root
        assert not by_site[SITE].of_root
        assert not by_site[foreign].init
        assert by_site[foreign].provider != "vllm"


def finding(code: str, line: int) -> Finding:
    return Finding(
        code=code,
        name=code,
        severity=Severity.ERROR,
        confidence=Confidence.HIGH,
        promise=Promise.CAPTURE,
        path=SITE.path,
        line=line,
        column=1,
        end_line=line,
        end_column=2,
        message="",
    )


def test_scores_count_the_very_line_and_every_alarm() -> None:
    bad, good = Edit("a", "", finds="VL101"), Edit("b", "", looks_like="VL101")
    here, beside = Mutant(SITE, bad, (4, 5), 4, 4), Mutant(SITE, bad, (8, 9), 8, 8)
    harmless = Mutant(SITE, good, (12,), 0, 0)
    found = [finding("VL101", 4), finding("VL101", 9), finding("VL203", 12)]
    told = {mutant: said(mutant, found, SITE.path, mutant.marked) for mutant in (here, beside, harmless)}
    scored = score(list(told), told)
    counted = {"defects": 2, "found": 1, "harmless": 1, "false alarms": 1, "false errors": 1}
    assert scored["rules"] == {"VL101": counted, "all": counted}
    assert scored["missed"] == {"VL101 a": ["pkg.model:Layer.forward (VL101 error)"]}
    assert scored["false alarms"] == {"VL101 b": ["pkg.model:Layer.forward (VL203 error)"]}


def test_precision_is_of_what_was_decided_and_recall_of_what_was_shown() -> None:
    rows = table(
        {
            "VL201 error static": {"confirmed": 3, "refuted": 1, "not reached": 5},
            "VL201 error not predicted": {"confirmed": 1, "undecided": 2},
            "VL104 warning static": {"not reached": 1},
        }
    )
    assert (rows["VL201"]["precision"], rows["VL201"]["recall"]) == (0.75, 0.75)
    assert (rows["VL104"]["precision"], rows["VL104"]["recall"]) == (None, None)
    assert rows["all errors"] == rows["VL201"]
    assert rows["all"]["not reached"] == 6
