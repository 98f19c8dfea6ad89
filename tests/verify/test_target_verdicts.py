"""What replays and the stricter passes showed becomes findings, and verdicts of static findings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.trace import logs
from vllm_lint.analyzer.findings import Confidence, Contract, Finding, Promise, Root, Severity
from vllm_lint.cli.rule_facts import rule_facts
from vllm_lint.cli.sources import Sources
from vllm_lint.runtime_verifier.outcomes import (
    CheckLost,
    DataDependent,
    DishonestOperator,
    GraphSync,
    Outcome,
    Part,
    Place,
    Result,
    ShapeGuard,
    StateGuard,
    WrongAnswer,
)
from vllm_lint.runtime_verifier.trace.constraints import PROBES
from vllm_lint.runtime_verifier.verdicts import from_targets as target_verdicts
from vllm_lint.runtime_verifier.verdicts import target_evidence, target_join
from vllm_lint.runtime_verifier.verdicts.target_evidence import PartEvidence

MODEL = """\
class Model:
    def forward(self, x):
        if x.size(0) % 128 == 0:
            x = x * 2
        if x.size(0) == 1:
            x = x - 7
        return x
"""
SIZES = (1, 2, 128, 509)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    return Sources(tmp_path, ["model.py"])


def at(tmp_path: Path, line: int) -> Place:
    return Place(str(tmp_path / "model.py"), line, "forward")


def evidence(tmp_path: Path, *outcomes: Outcome, trace: str = "", **logs_of: str) -> PartEvidence:
    """One captured part whose default pass left `trace`."""
    names = {"backed": "backed.log", **logs_of}
    (tmp_path / "backed.log").write_text(trace, encoding="utf-8")
    part = Part("Model", at(tmp_path, 2), outcomes, SIZES, names)  # type: ignore[arg-type]
    (found,) = target_evidence.parts(Result("Arch", (part,)), tmp_path)
    return found


def graph(tmp_path: Path, *lines: int) -> str:
    """A log of a capture whose graph has operations of these lines."""
    said = "\n".join(f" # File: {tmp_path / 'model.py'}:{line} in forward, code: x" for line in lines)
    sizes = {"l_x_": ["s0", 8]}
    return (
        logs.strings()
        + logs.start()
        + logs.symbol("s0", "x")
        + logs.event("dynamo_output_graph", {"sizes": sizes}, said)
    )


def static(code: str, line: int) -> Finding:
    root = Root("Model.forward", "model.py", 2, Contract.VLLM)
    return Finding(
        code=code,
        name=rule_facts()[code].name,
        severity=Severity.ERROR,
        confidence=Confidence.HIGH,
        promise=rule_facts()[code].promise,
        path="model.py",
        line=line,
        column=1,
        end_line=line,
        end_column=9,
        message="",
        root=root,
    )


def test_a_replay_says_at_which_sizes_a_guard_was_wrong(tmp_path: Path, sources: Sources) -> None:
    guard = ShapeGuard("backed", "x.size(0) % 128 == 0", (1, 2, 509), stack=(at(tmp_path, 3),))
    wrong = WrongAnswer("eager", (1, 2), 4.5, "output: values differ", 9.1)
    part = evidence(tmp_path, guard, wrong)
    told = list(target_verdicts._told(guard, part.part))
    assert told == [
        "replay with guards dropped was wrong at 1, 2: max difference 4.5 of 9.1",
        "replay with guards dropped gave eager's answer at 509",
    ]
    assert not target_verdicts.find([part], rule_facts(), sources), "the guard explains the difference"


def test_state_that_steps_change_is_blamed_on_the_line_that_read_it(tmp_path: Path, sources: Sources) -> None:
    wrong = WrongAnswer("eager", SIZES, None, "state.calls: 1 instead of 2")
    part = evidence(tmp_path, StateGuard("calls", "calls == 0", at(tmp_path, 4)), wrong)
    (finding,) = target_verdicts.find([part], rule_facts(), sources)
    assert (finding.code, finding.line, finding.promise) == ("VL602", 4, Promise.NO_STEP_STATE)
    assert "`calls == 0`" in finding.evidence[0]


def test_a_sync_in_the_graph_is_reported(tmp_path: Path, sources: Sources) -> None:
    (finding,) = target_verdicts.find([evidence(tmp_path, GraphSync("item", at(tmp_path, 6)))], rule_facts(), sources)
    assert (finding.code, finding.line, finding.promise) == ("VL401", 6, Promise.REPLAYABLE)
    assert finding.verdict == "confirmed"


@pytest.mark.parametrize(
    ("kind", "code", "others"),
    [
        ("undeclared-mutation", "VL304", ["VL305", "VL306"]),
        ("output-aliases-input", "VL305", ["VL304", "VL302"]),
        ("fake-disagrees", "VL306", ["VL304", "VL305"]),
    ],
)
def test_an_operator_is_judged_by_its_name(
    tmp_path: Path, sources: Sources, kind: str, code: str, others: list[str]
) -> None:
    seen = DishonestOperator("own::act", kind, "tensor argument 1", at(tmp_path, 4))  # type: ignore[arg-type]
    part = evidence(tmp_path, seen)

    def about(code: str, operator: str) -> Finding:
        return msgspec.structs.replace(static(code, 6), message=f"`{operator}` does something", root=None)

    (alone,) = target_join.join([], [part], rule_facts(), sources)
    assert (alone.code, alone.line, alone.verdict) == (code, 4, "confirmed")
    (joined,) = target_join.join([about(code, "own::act")], [part], rule_facts(), sources)
    assert (joined.line, joined.verdict) == (6, "confirmed")
    for other in [about(code, "own::acts"), *(about(c, "own::act") for c in others)]:
        both = target_join.join([other], [part], rule_facts(), sources)
        assert [(f.line, f.verdict) for f in both] == [(4, "confirmed"), (6, "not run")]


def test_a_forward_that_cuda_recorded_refutes_a_sync(tmp_path: Path, sources: Sources) -> None:
    part = evidence(tmp_path, trace=graph(tmp_path, 4, 7))
    (unknown,) = target_join.join([static("VL401", 5)], [part], rule_facts(), sources)
    assert unknown.verdict == "not run"
    recorded = replace(part, part=msgspec.structs.replace(part.part, graphed=(7,)))
    (refuted,) = target_join.join([static("VL401", 5)], [recorded], rule_facts(), sources)
    assert (refuted.verdict, refuted.evidence) == ("refuted", ("Arch, Model: CUDA recorded the compiled forward",))


def test_a_difference_at_one_token_is_blamed_on_the_decision_about_one(tmp_path: Path, sources: Sources) -> None:
    asked = ShapeGuard("oblivious", "x.size(0) != 1", (1,), stack=(at(tmp_path, 5),))
    part = evidence(tmp_path, WrongAnswer("eager", (1,), 7.0, "output: values differ", 2.0), asked)
    (finding,) = target_verdicts.find([part], rule_facts(), sources)
    assert (finding.code, finding.line) == ("VL203", 5)
    (joined,) = target_join.join([static("VL203", 5)], [part], rule_facts(), sources)
    assert joined.verdict == "confirmed"


def test_a_difference_without_a_cause_is_reported_at_forward(tmp_path: Path, sources: Sources) -> None:
    part = evidence(tmp_path, CheckLost("eager", (2,), "ValueError: odd"))
    (finding,) = target_verdicts.find([part], rule_facts(), sources)
    assert (finding.code, finding.line) == ("replay-differs", 2)
    assert "returned at 2, where eager raises ValueError: odd" in finding.evidence[0]


def test_agreement_at_one_token_refutes_a_decision_in_a_traced_function(tmp_path: Path, sources: Sources) -> None:
    asked, traced = ShapeGuard("oblivious", "x.size(0) != 1", (1,), stack=(at(tmp_path, 5),)), graph(tmp_path, 4, 7)
    other = msgspec.structs.replace(asked, stack=(at(tmp_path, 3),))

    def verdict(*outcomes: Outcome, trace: str) -> str | None:
        part = evidence(tmp_path, *outcomes, trace=trace)
        (finding,) = target_join.join([static("VL203", 5)], [part], rule_facts(), sources)
        return finding.verdict

    assert verdict(asked, trace=traced) == "refuted"
    assert verdict(asked, trace="") == "not run", "the function was not traced"
    assert verdict(trace=traced) == verdict(other, trace=traced) == "not run", "of `a and n == 1`, a was false"
    wrong = WrongAnswer("eager", (1,), 7.0, "output: values differ", 2.0)
    found = target_join.join([static("VL203", 5)], [evidence(tmp_path, wrong, trace=traced)], rule_facts(), sources)
    told = [(f.verdict, f.evidence[0]) for f in found if f.code == "VL203"]
    said = "Arch, Model: replay is wrong at 1, and something else may be the cause; verify again without that"
    assert told == [("not run", said)]


def test_shape_ids_are_judged_by_the_unbacked_passes(tmp_path: Path, sources: Sources) -> None:
    both = {"unbacked": "u.log", "shared-unbacked": "s.log"}
    asked = DataDependent("unbacked", "x.size(0) == y.size(0)", at(tmp_path, 3))
    shared = DataDependent("shared-unbacked", "x.size(0) > 5", at(tmp_path, 3))

    def verdict(*outcomes: Outcome, **names: str) -> str | None:
        part = evidence(tmp_path, *outcomes, **names)
        found = target_join.join([static("VL206", 1)], [part], rule_facts(), sources)
        return next(f.verdict for f in found if f.code == "VL206")

    assert verdict(asked, **both) == "confirmed"
    assert verdict(**both) == "refuted"
    assert verdict(asked, shared, **both) == "not run", "another size is at fault"
    assert verdict() == "not run", "the passes were not made"


def test_a_dim_that_was_not_declared_is_wrong_at_every_other_size(tmp_path: Path, sources: Sources) -> None:
    def verdict(*outcomes: Outcome) -> str | None:
        found = target_join.join([static("VL205", 1)], [evidence(tmp_path, *outcomes)], rule_facts(), sources)
        return next(f.verdict for f in found if f.code == "VL205")

    assert verdict(WrongAnswer("eager", (1, 2, 128), None, "output: float32[509] instead of float32[2]")) == "confirmed"
    assert verdict() == "refuted"
    assert verdict(WrongAnswer("eager", (128,), None, "output")) == "not run"


@pytest.mark.parametrize(
    ("fails_at", "refused", "misshapen", "is_told"),
    [
        ((1, 2, 128), (), (), False),  # a layout or a kernel
        ((1, 2, 128), (), (2,), True),  # a compiler would believe the shape that the graph notes
        ((1, 2, 128), (1,), (), False),
        ((509, *(n for n in PROBES if n > 509)), (509,), (509,), False),  # the end of a table
        ((128, *(n for n in PROBES if n > 128)), (509,), (128,), True),  # 128 is refused by nobody
        ((500, *(n for n in PROBES if n > 500)), (509,), (), True),  # nobody tried 500
    ],
)
def test_an_operations_guard_is_harmless_where_the_graph_is_right_without_it(
    tmp_path: Path,
    fails_at: tuple[int, ...],
    refused: tuple[int, ...],
    misshapen: tuple[int, ...],
    is_told: bool,
) -> None:
    guard = ShapeGuard("backed", "", fails_at, stack=(at(tmp_path, 4),), by_operation=True)
    part = Part("Model", at(tmp_path, 2), (guard,), SIZES, refused=refused, misshapen=misshapen)
    assert target_verdicts._is_harmless(guard, part) != is_told
    by_python = msgspec.structs.replace(guard, by_operation=False)
    assert not target_verdicts._is_harmless(by_python, part)
