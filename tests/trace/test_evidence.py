"""Events are put together as torch meant them, and symbols get the user's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trace import logs
from vllm_lint.runtime_verifier.outcomes import Place
from vllm_lint.runtime_verifier.trace.evidence import TraceEvidence
from vllm_lint.runtime_verifier.trace.size_guards import judge


def test_a_guard_has_its_call_path_without_the_framework(tmp_path: Path) -> None:
    user = (logs.AT, ("_call_impl", 1, logs.MODULE), ("__enter__", 1, logs.CONTEXTLIB), ("tile", 3, logs.LAYERS))
    text = logs.start() + logs.symbol("s77", "x") + logs.guard("Eq(Mod(s77, 128), 0)", *user) + logs.end()
    (found,) = logs.compilations(text, tmp_path)
    assert found.root == Place(logs.MODEL, 10, "forward")
    assert found.names == {"s77": "x.size(0)"}
    assert found.guards[0].stack == (Place(logs.MODEL, 12, "forward"), Place(logs.LAYERS, 3, "tile"))
    assert (found.captured, found.keeps_guards, found.is_marked) == (True, False, True)


def test_a_restart_forgets_what_was_found_before(tmp_path: Path) -> None:
    text = logs.start() + logs.symbol("s77", "x") + logs.guard("s77 > 5", logs.AT)
    text += logs.start(attempt=1) + logs.event(
        "create_symbol", {"symbol": "s1", "source": "L['x'].size()[0]"}, attempt=1
    )
    (found,) = logs.compilations(text, tmp_path)
    assert (found.guards, list(found.symbols)) == ([], ["s1"])


def test_a_second_capture_of_the_same_number_is_another(tmp_path: Path) -> None:
    once = logs.start() + logs.symbol("s77", "x") + logs.guard("s77 > 5", logs.AT) + logs.end()
    found = logs.compilations(once * 3, tmp_path)
    assert [len(c.guards) for c in found] == [1, 1, 1]


def test_ahead_of_time_captures_have_no_start_and_lose_their_number(tmp_path: Path) -> None:
    no_id: dict[str, Any] = {"frame_id": None, "frame_compile_id": None}
    once = logs.symbol("s77", "x") + logs.guard("s77 > 5", logs.AT) + logs.guard("s77 < 9000", **no_id)
    once += logs.event("compilation_metrics", {}, **no_id)
    found = logs.compilations(once * 2, tmp_path)
    assert [len(c.guards) for c in found] == [2, 2]
    assert found[0].root == Place(logs.MODEL, 12, "forward")
    assert found[0].guards[1].stack == ()


def test_events_with_other_fields_are_counted_and_others_passed_over() -> None:
    evidence = TraceEvidence()
    for metadata in (
        {"create_symbol": 5, "frame_id": 0},
        {"guard_added_fast": {"expr": 7}},
        {"str": ["only one"]},
        {"dynamo_start": {"stack": "here"}, "frame_id": "zero"},
    ):
        evidence.add(metadata)
    evidence.add({"event_of_tomorrow": {"a": 1}})
    assert (evidence.not_understood, evidence.events, evidence.compilations) == (4, 0, [])


def test_a_frame_whose_name_is_missing_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "made.log"
    path.write_text(logs.start() + logs.guard("s77 > 5", logs.AT))  # no strings
    (found,) = logs.read(path)
    assert (found.root, found.guards[0].stack) == (None, ())


def unbacked(name: str, stack: list[tuple[str, int, str]]) -> str:
    return logs.event("create_unbacked_symbol", {"symbol": name, "node_id": 1, "stack": logs.frames(*stack)})


def test_unbacked_symbols_are_named_after_their_argument_or_data(tmp_path: Path) -> None:
    tensor = {"id": 1, "describer_id": 0, "size": [3, 40], "dynamo_unbacked_indices": [1]}
    text = logs.start() + logs.event("describe_tensor", tensor)
    text += logs.event("describe_source", {"id": 1, "describer_id": 0, "source": "L['positions']"})
    text += unbacked("u0", logs.ARGUMENT) + unbacked("u1", logs.OPERATION)
    (found,) = logs.compilations(text, tmp_path)
    assert found.names == {"u0": "positions.size(1)", "u1": "data"}


def test_an_unbacked_dim_that_no_mark_tells_is_read_from_the_graph(tmp_path: Path) -> None:
    text = logs.start() + logs.event("describe_source", {"id": 1, "describer_id": 0, "source": "L['x']"})
    text += unbacked("u0", logs.ARGUMENT)
    assert logs.compilations(text, tmp_path)[0].names == {"u0": "x.size(?)"}
    text += logs.event("dynamo_output_graph", {"sizes": {"l_x_": [3, "u0"]}})
    assert logs.compilations(text, tmp_path)[0].names == {"u0": "x.size(1)"}


@pytest.mark.parametrize(
    ("expression", "by", "user", "why"),
    [
        ("Eq(Mod(s77, 128), 0)", logs.PYTHON, True, ""),
        ("s77 > 5", logs.PYTHON, True, ""),
        ("s77 > 5", logs.PYTHON, False, "compiler"),
        ("4*s77 <= 160", logs.ARGUMENT, True, "argument"),
        ("Eq(s77, s80)", logs.OPERATION, True, "equal lengths"),
        ("Eq(Mod(256*s77, 64*s80), 0)", logs.OPERATION, True, "equal lengths"),
        ("Ne(s77, s90)", logs.PYTHON, True, ""),
        ("s77 >= 2", logs.PYTHON, True, "always true"),
        ("Ne(64*s77, 0)", logs.OPERATION, True, "always true"),
        ("u5 > 3", logs.OPERATION, True, "data"),
        ("s91 <= 16", logs.PYTHON, True, "always true"),
        ("Ne(s77, 777)", logs.PYTHON, True, ""),
    ],
)
def test_harmless_conditions_are_told_from_others(
    tmp_path: Path, expression: str, by: list[tuple[str, int, str]], user: bool, why: str
) -> None:
    text = logs.start() + logs.symbol("s77", "x") + logs.symbol("s80", "positions") + logs.symbol("s90", "image", 7)
    text += logs.symbol("s91", "rows", 9, vr="[2, 16]") + unbacked("u5", logs.OPERATION)
    text += logs.guard(expression, *[logs.AT][:user], by=by) + logs.end()
    (judgement,) = judge(logs.compilations(text, tmp_path)[0])
    assert judgement.benign == why


def test_a_condition_gets_the_sizes_at_which_it_is_false_and_the_captured_one(tmp_path: Path) -> None:
    text = logs.start() + logs.symbol("s77", "x") + logs.guard("Ne(Mod(s77, 128), 0)", logs.AT)
    (judgement,) = judge(logs.compilations(text, tmp_path)[0])
    assert judgement.expression == "x.size(0) % 128 != 0"
    assert judgement.fails_at[:3] == (128, 256, 512)
    assert judgement.hint == 40


@pytest.mark.parametrize(
    ("decision", "asked", "is_told"),
    [
        ("Eq(FloorDiv(s77, 64), 3)", "Ne(FloorDiv(s77, 64), 1)", False),
        ("Ne(FloorDiv(s77, 64), 1)", "Eq(FloorDiv(s77, 64), 3)", True),
        ("s77 <= 256", "Eq(Mod(s77, 8), 0)", True),
    ],
)
def test_an_operation_that_asks_what_python_decided_is_not_told_again(
    tmp_path: Path, decision: str, asked: str, is_told: bool
) -> None:
    text = logs.start() + logs.symbol("s77", "x", 200)
    text += logs.guard(asked, logs.AT, by=logs.OPERATION) + logs.guard(decision, logs.AT)
    operation, python = judge(logs.compilations(text, tmp_path)[0])
    assert (operation.benign, python.benign) == ("" if is_told else "implied", "")


@pytest.mark.parametrize(
    ("expression", "said"),
    [("NewFunction(s77) > 1", "NewFunction(x.size(0)) > 1"), ("s99 > 3", "? > 3"), ("s77 >", "x.size(0) >")],
)
def test_what_cannot_be_computed_is_undecided(tmp_path: Path, expression: str, said: str) -> None:
    text = logs.start() + logs.symbol("s77", "x") + logs.guard(expression, logs.AT)
    (judgement,) = judge(logs.compilations(text, tmp_path)[0])
    assert judgement.undecided
    assert judgement.is_harmful
    assert judgement.expression == said


def test_conditions_on_a_dim_that_was_not_marked_do_not_follow_those_that_were(tmp_path: Path) -> None:
    text = logs.start() + logs.symbol("s77", "x") + logs.symbol("s27", "y", 40, mark=False)
    text += logs.guard("Eq(s77, s27)", logs.AT)
    (judgement,) = judge(logs.compilations(text, tmp_path)[0])
    assert {2, 39, 41} <= set(judgement.fails_at)
    assert 40 not in judgement.fails_at


@pytest.mark.parametrize(
    ("expression", "fails_at"),
    [("Eq(Mod(s77, 4), 0)", ()), ("Ne(FloorDiv(s77, 4), 1)", ()), ("Eq(Mod(s77, 16), 0)", (4, 8, 12))],
)
def test_sizes_that_come_in_fours_break_only_what_a_multiple_of_four_breaks(
    tmp_path: Path, expression: str, fails_at: tuple[int, ...]
) -> None:
    text = logs.start() + logs.symbol("s77", "x", 64) + logs.guard(expression, logs.AT, by=logs.OPERATION)
    (compilation,) = logs.compilations(text, tmp_path)
    compilation.units = {"x.size(0)": 4}
    (judgement,) = judge(compilation)
    assert judgement.fails_at[:3] == fails_at


def test_the_version_of_torch_is_read_where_the_log_has_it() -> None:
    evidence = TraceEvidence()
    header = {"artifact": {"name": "torch_version", "encoding": "json"}}
    for payload in ("{", '{"pytorch_version": "2.13.0+cpu", "oss": true}', "{}"):
        evidence.add(header, payload)
    assert evidence.torch == "2.13.0+cpu"
    assert evidence.compilations == []
