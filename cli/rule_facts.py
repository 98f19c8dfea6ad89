"""What the runtime half is told of the rules, which it does not import."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vllm_lint.analyzer.findings import Contract, Finding
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.verdicts.from_traces import RuleFacts


def rule_facts(torch: str = "") -> dict[str, RuleFacts]:
    """The facts about every rule that holds for a version of torch, by code; about all where it is not known."""
    facts = {}
    for rule in RULES:
        meta = rule.meta
        if not meta.holds_for(torch):
            continue
        severities = {contract: rule().severity_under(contract) for contract in Contract}
        bound = {contract: severity for contract, severity in severities.items() if severity is not None}
        facts[meta.code] = RuleFacts(meta.code, meta.name, meta.promise, bound, meta.graph_breaks)
    return facts


def without_rules_of_other_versions(findings: Iterable[Finding], torch: str) -> tuple[Finding, ...]:
    """`findings`, where a run of this torch says nothing against those of rules that do not hold for it."""
    ranges = {rule.meta.code: rule.meta.torch for rule in RULES if not rule.meta.holds_for(torch)}
    return tuple(
        msgspec.structs.replace(
            finding,
            verdict="not run",
            evidence=(f"the rule holds for torch {ranges[finding.code]}, and the run had {torch}",),
        )
        if finding.code in ranges and finding.verdict in ("refuted", "not reached")
        else finding
        for finding in findings
    )
