"""Rules in each stage of their life: which of them run, and what is said about the others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.analyzer import programs
from tests.cli import samples
from tests.cli.conftest import Program
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Finding
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli import options, rule_facts, rules, selection
from vllm_lint.cli.output import renderer
from vllm_lint.rules import catalogue

STAGES: dict[str, dict[str, Any]] = {
    "VL201": {"lifecycle": Lifecycle(preview="0.1.0", stable="0.2.0"), "former": ("VL210", "token-branch")},
    "VL202": {"lifecycle": Lifecycle(preview="0.2.0")},
    "VL203": {"lifecycle": Lifecycle(stable="0.1.0", deprecated="0.2.0", replaced_by="VL201")},
    "VL204": {"lifecycle": Lifecycle(stable="0.1.0", removed="0.3.0", replaced_by="VL202")},
    "VL301": {"lifecycle": Lifecycle(preview="0.2.0"), "torch": ">=2.14"},
}


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> tuple[type[Rule], ...]:
    """A catalogue with a rule in each stage."""
    bases = {rule.meta.code: rule for rule in catalogue.RULES} | {"VL301": catalogue.find("VL206")[0]}
    made = []
    for code, changes in STAGES.items():
        name = bases[code].meta.name if code != "VL301" else "made-up-rule"
        meta = replace(bases[code].meta, code=code, name=name, **changes)
        made.append(type(code, (bases[code],), {"meta": meta, "__doc__": bases[code].__doc__}))
    found = tuple(made)
    monkeypatch.setattr(catalogue, "RULES", found)
    for module in (options, rules, rule_facts):
        monkeypatch.setattr(module, "RULES", found)
    return found


@pytest.mark.parametrize(
    ("arguments", "codes", "said"),
    [
        ([], "VL201 VL203", ""),
        (["--preview"], "VL201 VL202 VL203 VL301", ""),
        (["--select", "VL2"], "VL201 VL203", ""),
        (["--select", "VL2", "--preview"], "VL201 VL202 VL203", ""),
        (["--select", "VL202"], "VL202", ""),
        (["--select", "ALL,made-up-rule"], "VL201 VL203 VL301", ""),
        (["--select", "VL3"], "", "--select: all rules of VL3 are in preview, and run with --preview"),
        (["--select", "VL3", "--preview", "--ignore", "VL301"], "", ""),
        (["--select", "VL203"], "VL203", "--select: VL203 is deprecated since 0.2.0, use VL201"),
        (["--select", "VL204,VL201"], "VL201", "--select: VL204 is removed since 0.3.0, use VL202"),
        (["--ignore", "VL204"], "VL201 VL203", "--ignore: VL204 is removed since 0.3.0, use VL202"),
        (["--select", "VL210"], "VL201", "--select: VL210 is now VL201 batch-size-branch"),
        (["--ignore", "token-branch"], "VL203", "--ignore: token-branch is now VL201 batch-size-branch"),
    ],
)
@pytest.mark.usefixtures("aged")
def test_which_rules_run(program: Program, arguments: list[str], codes: str, said: str) -> None:
    program.result = samples.result()
    done = program.run(".", *arguments)
    assert done.exit_code == 0
    assert program.codes == tuple(codes.split())
    assert done.stderr == (f"vllm-lint: {said}\n" if said else "")


@pytest.mark.usefixtures("aged")
def test_preview_can_be_configured(program: Program) -> None:
    (program.folder / "vllm-lint.toml").write_text("preview = true\n")
    program.run(".")
    assert program.codes == ("VL201", "VL202", "VL203", "VL301")


@pytest.mark.usefixtures("aged")
def test_only_a_clean_report_mentions_preview(program: Program) -> None:
    program.result = samples.result()
    last = "No findings: 2 files, 1 compiled root"
    assert program.run(".").stdout.splitlines()[-1] == f"{last} (2 more rules with --preview)"
    assert program.run(".", "--preview").stdout.splitlines()[-1] == last
    assert program.run(".", "--select", "VL201").stdout.splitlines()[-1] == last
    program.result = samples.result(samples.finding())
    assert "preview" not in program.run(".").stdout


@pytest.mark.usefixtures("aged")
def test_the_stage_is_shown(program: Program) -> None:
    rows = program.run("rules").stdout.splitlines()
    assert ["preview" in row.split() for row in rows] == [False, True, False, False, True]
    records = {r["code"]: r for r in json.loads(program.run("rules", "--output-format", "json").stdout)}
    assert records["VL203"]["stage"] == "deprecated"
    assert records["VL203"]["lifecycle"] == {"stable": "0.1.0", "deprecated": "0.2.0"}
    assert records["VL203"]["replaced_by"] == "VL201"
    assert records["VL201"]["former"] == ["VL210", "token-branch"]
    page = program.run("explain", "token-branch").stdout.splitlines()
    assert page[0] == "VL201 batch-size-branch"
    assert "stage        stable since 0.2.0" in page
    assert "once named   VL210, token-branch" in page
    assert "stage        removed since 0.3.0, use VL202" in program.run("explain", "VL204").stdout


def test_formats_for_programs_have_the_stage(aged: tuple[type[Rule], ...], tmp_path: Path) -> None:
    context = replace(samples.context(tmp_path), rules=aged)
    result = samples.result(samples.finding(), samples.finding(code="graph-break", name="graph-break"))
    (text,) = renderer("json")(result, context)
    assert [record["stage"] for record in json.loads(text)["findings"]] == ["stable", None]
    (text,) = renderer("sarif")(result, context)
    (descriptor,) = [r for r in json.loads(text)["runs"][0]["tool"]["driver"]["rules"] if r["id"] == "VL203"]
    assert descriptor["properties"]["stage"] == "deprecated"
    assert (descriptor["properties"]["since"], descriptor["properties"]["torch"]) == ("0.2.0", ">=2.9")


@pytest.mark.parametrize("word", ["VL210", "token-branch", "VL201"])
def test_a_comment_with_a_former_name_silences_and_is_told(tmp_path: Path, word: str) -> None:
    """With rules of the catalogue, one of which had other names."""
    known = {rule.meta.code: rule for rule in catalogue.RULES}
    branch = known["VL201"]
    known["VL201"] = type("Aged", (branch,), {"meta": replace(branch.meta, former=("VL210", "token-branch"))})
    text = (
        programs.HEAD
        + f"""
@support_torch_compile
class Model(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 64:  # vllm-lint: ignore[{word}] both are right
            return x
        return x + 1
"""
    )
    programs.write(tmp_path, {"model.py": text})
    catalogue_rules = tuple(known.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "RULES", catalogue_rules)
        result = check(Settings(paths=(tmp_path,), base=tmp_path, search_installed=False, jobs=1), catalogue_rules)
    assert result.suppressed == 1
    assert [f.code for f in result.findings] == ([] if word == "VL201" else ["VL004"])


def test_a_run_of_another_torch_is_no_evidence_against_a_rule(aged: tuple[type[Rule], ...]) -> None:
    assert "VL301" in rule_facts.rule_facts("2.14.0+cpu")
    assert "VL301" in rule_facts.rule_facts("")
    assert "VL301" not in rule_facts.rule_facts("2.13.0")
    findings = [judged(code, verdict) for code in ("VL201", "VL301") for verdict in ("refuted", "confirmed")]
    kept = rule_facts.without_rules_of_other_versions(findings, "2.13.0")
    assert [finding.verdict for finding in kept] == ["refuted", "confirmed", "not run", "confirmed"]
    assert kept[2].evidence == ("the rule holds for torch >=2.14, and the run had 2.13.0",)
    assert rule_facts.without_rules_of_other_versions(findings, "2.14.0") == tuple(findings)
    assert len(aged) == len(STAGES)


def judged(code: str, verdict: str) -> Finding:
    return samples.finding(code=code, verdict=verdict)


def test_selection_says_what_sleeps(aged: tuple[type[Rule], ...]) -> None:
    origins = {"select": "default", "ignore": "default"}
    chosen = selection.choose(["ALL"], ["VL202"], origins)
    assert [rule.meta.code for rule in chosen.asleep] == ["VL301"]
    assert set(chosen.rules) < set(aged)
