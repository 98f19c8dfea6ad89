"""A rule is real only if Dynamo says so: every fixture is captured and replayed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from tests.proofs.cases import CAPTURED, FAILED, FIXTURES, Case, Claim, all_cases, cases_in, expected_lines
from vllm_lint.analyzer.rule import Rule
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.outcomes import (
    CaptureFailed,
    DataDependent,
    GraphBreak,
    GraphSync,
    Place,
    Rebound,
    Result,
    ShapeGuard,
    Specialized,
    StateGuard,
)
from vllm_lint.runtime_verifier.proofs import TWO_RUNS, declared, shown

STATIC_ONLY = {rule.meta.code for rule in RULES if not declared(rule.meta.proof)}
FLAGGED = [c for c in all_cases() if c.path.stem.startswith("flagged") and c.rule not in STATIC_ONLY]
CLEAN = [c for c in all_cases() if not c.path.stem.startswith("flagged")]
FOLDERS = sorted(p for p in FIXTURES.iterdir() if p.is_dir())
#: Proofs that hold a size or a line, and so must not turn up without being claimed.
EXACT = {
    "graph-break",
    "data-dependent",
    "specialized",
    "wrong-answer",
    "check-lost",
    "replay-failed",
    "decorator-error",
    "undeclared-mutation",
    "output-aliases-input",
    "fake-disagrees",
    "state-guard",
    "rebound",
}


def by_id(case: Case) -> str:
    return case.id


@pytest.mark.torch
@pytest.mark.parametrize("case", FLAGGED, ids=by_id)
def test_dynamo_shows_what_a_flagged_case_claims_and_nothing_else(
    case: Case, result_of: Callable[[Case], Result]
) -> None:
    assert case.claims, "a flagged case claims no proof"
    _shows_its_claims(case, result_of(case))


def _shows_its_claims(case: Case, result: Result) -> None:
    for claim in case.claims:
        if claim.proof == CAPTURED:
            assert result.clean, result.outcomes
        elif claim.proof == FAILED:
            assert any(isinstance(o, CaptureFailed) for o in result.outcomes), result.outcomes
        else:
            assert claim.proof in TWO_RUNS or any(map(claim.holds_for, result.outcomes)), (claim, result.outcomes)
    assert shown(result) & EXACT == {c.proof for c in case.claims} & EXACT, result.outcomes


@pytest.mark.torch
@pytest.mark.parametrize("case", CLEAN, ids=by_id)
def test_clean_and_repaired_cases_are_captured_and_equal_eager(case: Case, result_of: Callable[[Case], Result]) -> None:
    result = result_of(case)
    if case.claims:  # an older torch cannot do it yet
        _shows_its_claims(case, result)
        return
    assert result.clean, result.outcomes
    (part,) = result.parts
    assert len(part.replayed) >= 10
    assert 1 in part.replayed
    has_guards = any(isinstance(o, ShapeGuard) and o.mode == "backed" for o in result.outcomes)
    assert has_guards == case.guards_harmless, result.outcomes


@pytest.mark.torch
@pytest.mark.parametrize("case", [c for c in CLEAN if c.rule == "VL206"], ids=by_id)
def test_shape_ids_make_the_unbacked_capture_succeed(case: Case, result_of: Callable[[Case], Result]) -> None:
    assert not [o for o in result_of(case).outcomes if isinstance(o, DataDependent)]


@pytest.mark.torch
@pytest.mark.parametrize(
    "cases", [tuple(c) for _, c in groupby(FLAGGED, lambda c: c.path.parent)], ids=lambda f: f[0].rule
)
def test_dynamo_blames_the_lines_that_a_rule_must_flag(
    cases: tuple[Case, ...], result_of: Callable[[Case], Result]
) -> None:
    blamed = {(Path(p.path), p.line) for case in cases for p in _places(result_of(case))}
    marked = expected_lines(cases[0].path.parent)
    expected = {(path, line) for path, lines in marked.items() for line in lines}
    if cases[0].rule.startswith(("VL205", "VL206", "VL3", "VL5", "VL610")):  # the cause is a declaration or another run
        expected = set()
    if any(claim.proof == CAPTURED for case in cases for claim in case.claims):  # nothing blames what it shares
        expected = {(p, n) for p, n in expected if any(c.path == p and c.line <= n <= c.end_line for c in cases)}
    # Some results have no place, such as the break of a whole function, or a replay that fails; some one in a library.
    unplaced = [c for c in cases if not any(Path(p.path).parent == c.path.parent for p in _places(result_of(c)))]
    expected = {(p, n) for p, n in expected if not any(c.path == p and c.line <= n <= c.end_line for c in unplaced)}
    # A conditional that was decided as a constant leaves no trace of its line.
    assert expected <= blamed, sorted(expected - blamed)


_PLACED = (GraphBreak, GraphSync, DataDependent, Specialized, StateGuard, Rebound)


def _places(result: Result) -> list[Place]:
    places: list[Place] = []
    for outcome in result.outcomes:
        if isinstance(outcome, ShapeGuard):
            places += outcome.stack[-1:]
        elif isinstance(outcome, _PLACED) and outcome.place is not None:
            places.append(outcome.place)
    return places


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_a_folder_is_complete(folder: Path) -> None:
    assert re.fullmatch(r"VL\d{3}(_[a-z]+)+", folder.name)
    for name in ("flagged.py", "clean.py", "repaired.py"):
        assert cases_in(folder / name), f"{name} holds no case"
    code = folder.name.partition("_")[0]
    marked = expected_lines(folder)
    assert any(code in codes for codes in marked[folder / "flagged.py"].values())
    assert not [p for p in marked if p.stem.startswith(("clean", "repaired"))]


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("VL*/repaired.py")), ids=lambda p: p.parent.name)
def test_a_repaired_class_has_a_flagged_namesake(path: Path) -> None:
    flagged = {c.name for c in cases_in(path.with_name("flagged.py"))}
    assert {c.name for c in cases_in(path)} <= flagged


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.meta.code)
def test_a_rule_declares_the_proofs_that_its_fixtures_show(rule: type[Rule]) -> None:
    meta = rule.meta
    names = declared(meta.proof)
    claims = [claim for case in FLAGGED if case.rule == meta.code for claim in case.all_claims]
    # What an older torch said of a thing may be its word for many others, and names no rule.
    current = [claim for claim in claims if claim.before is None]
    assert names == {claim.proof for claim in current}
    assert {claim.break_id for claim in current} - {""} <= set(meta.graph_breaks)


def test_a_claim_that_says_nothing_is_rejected() -> None:
    for text in ("", "wrong", "wrong at", "broken at 3", "wrong at 3 under magic"):
        with pytest.raises(ValueError, match="not a proof"):
            Claim.parse(text)


@pytest.mark.parametrize(
    ("torch", "expected"), [((2, 9), "GB0001"), ((2, 11), "GB0002"), ((2, 12), "GB0003"), ((2, 13), "GB0003")]
)
def test_an_older_torch_is_held_to_what_is_claimed_about_it(
    torch: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ("Proof: graph break GB0003", "Proof before torch 2.12: graph break GB0002")
    oldest = "Proof before torch 2.10: graph break GB0001"
    claims = tuple(claim for claim in map(Claim.on_line, (*lines, oldest, "Prove it")) if claim)
    monkeypatch.setattr(f"{cases_in.__module__}.installed_torch", lambda: torch)
    assert [c.break_id for c in replace(FLAGGED[0], all_claims=claims).claims] == [expected]
