"""What the runtime half is told of the rules, which it does not import."""

from __future__ import annotations

from vllm_lint.analyzer.findings import Contract
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.verdicts.from_traces import RuleFacts


def rule_facts() -> dict[str, RuleFacts]:
    """The facts about every rule, by code."""
    facts = {}
    for rule in RULES:
        meta = rule.meta
        severities = {contract: rule().severity_under(contract) for contract in Contract}
        bound = {contract: severity for contract, severity in severities.items() if severity is not None}
        facts[meta.code] = RuleFacts(meta.code, meta.name, meta.promise, bound, meta.graph_breaks)
    return facts
