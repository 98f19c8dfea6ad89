"""Torch's graph breaks and the rules that cover them: what the data says must be what fixtures and rules show."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.proofs.cases import all_cases
from vllm_lint.rules import graph_breaks
from vllm_lint.rules.catalogue import RULES
from vllm_lint.rules.graph_breaks import POSSIBLE, REASONS, Entry, RegistryError, read_registry, table

ENTRIES = table(RULES)


def of_class(visibility: str) -> list[Entry]:
    return [entry for entry in ENTRIES if entry.visibility == visibility]


def claimed() -> dict[str, set[str]]:
    """Ids that fixtures were seen to break with, and the rules whose fixtures these are."""
    found: dict[str, set[str]] = {}
    for case in all_cases():
        for claim in case.claims:
            if claim.break_id:
                found.setdefault(claim.break_id, set()).add(case.rule)
    return found


def test_every_id_is_classified_and_says_why_it_is_not_covered() -> None:
    known = graph_breaks.known_breaks()
    assert len([fact for fact in known.values() if not fact.since]) == 517
    for entry in ENTRIES:
        fact = known[entry.id]
        assert fact.visibility in ("A", "B", "C")
        assert fact.type
        assert fact.reason in ("", *REASONS)
        assert bool(fact.reason) == (not entry.rules), f"{entry.id}: covered ids need no reason, others need one"
        assert not (fact.no_fixture and not entry.rules), f"{entry.id} has no rule, so no fixture is missed"


def test_what_is_said_to_be_proved_is_claimed_by_a_fixture_of_a_covering_rule() -> None:
    proofs = claimed()
    for entry in ENTRIES:
        shown = proofs.get(entry.id, set()) & set(entry.rules)
        assert bool(shown) == (entry.coverage == "proved"), (entry.id, entry.coverage, proofs.get(entry.id))


def test_rules_name_only_ids_that_there_are() -> None:
    assert {number for rule in RULES for number in rule.meta.graph_breaks} <= set(graph_breaks.known_breaks())


def test_class_a_is_covered_or_says_why_no_working_model_shows_it() -> None:
    known = graph_breaks.known_breaks()
    uncovered = {entry.id: known[entry.id].reason for entry in of_class("A") if not entry.rules}
    assert len(uncovered) <= 40
    assert not [number for number, reason in uncovered.items() if reason in POSSIBLE]


def test_most_of_class_b_that_a_working_model_can_raise_is_covered() -> None:
    known = graph_breaks.known_breaks()
    entries = of_class("B")
    covered = [entry for entry in entries if entry.rules]
    others = [entry for entry in entries if not entry.rules and known[entry.id].reason in POSSIBLE]
    assert len(covered) / (len(covered) + len(others)) >= 0.7
    assert all(known[entry.id].note for entry in others)


def test_an_id_that_is_new_is_told_and_one_that_is_gone_too(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"GB0003": [{"Gb_type": "renamed"}], "GB99999": [{"Gb_type": "added"}]}))
    entries = {entry.id: entry for entry in table(RULES, read_registry(path))}
    assert (entries["GB99999"].coverage, entries["GB99999"].type) == ("new", "added")
    assert (entries["GB0003"].type, entries["GB0003"].registered) == ("renamed", True)
    assert not entries["GB0007"].registered
    assert list(entries)[-1] == "GB99999"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no object of ids"),
        ("{}", "no object of ids"),
        ('{"GB0001": []}', "'GB0001' has no Gb_type"),
        ('{"GB0001": [{"Explanation": "x"}]}', "'GB0001' has no Gb_type"),
        ('{"GB0001": {"Gb_type": "x"}}', "'GB0001' has no Gb_type"),
        ('{"GB0001": [{"Gb_type": 3}]}', "'GB0001' has no Gb_type"),
    ],
)
def test_what_is_no_registry_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "registry.json"
    path.write_text(text)
    with pytest.raises(RegistryError, match=message):
        read_registry(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RegistryError, match="not JSON"):
        read_registry(path)
    with pytest.raises(RegistryError, match="No such file"):
        read_registry(tmp_path / "missing.json")


@pytest.mark.torch
def test_the_facts_are_about_the_registry_of_the_torch_they_name() -> None:
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    registry = read_registry(Path(spec.origin).parent / "_dynamo" / "graph_break_registry.json")
    missing = set(registry) - set(graph_breaks.known_breaks())
    version = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    if graph_breaks.source().rpartition(" ")[2] not in version:
        pytest.skip("another torch than the facts were made from")
    assert not missing
    types = {number: fact.type for number, fact in graph_breaks.known_breaks().items() if not fact.since}
    assert types == registry
