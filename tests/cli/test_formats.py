from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli import samples
from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Severity, Span, Step, ToolError
from vllm_lint.cli.output import FORMATS, concise, github, renderer, sarif, statistics

SARIF_SCHEMA = Path(__file__).parent.parent / "data" / "sarif-schema-2.1.0.json"

POSITION = {"path", "line", "column", "end_line", "end_column"}


def text(name: str, result: CheckResult, folder: Path) -> str:
    return "\n".join(renderer(name)(result, samples.context(samples.write_sources(folder))))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_every_result(tmp_path: Path, name: str) -> None:
    for result in (samples.everything(), samples.result(), samples.result(files=0)):
        assert text(name, result, tmp_path)


def test_concise_is_one_line_a_finding_even_if_the_message_is_not(tmp_path: Path) -> None:
    lines = text("concise", samples.result(samples.finding(message="first\nsecond")), tmp_path).splitlines()
    assert lines == [
        "model.py:12:12: error[VL201] batch-size-branch: first second",
        "Found 1 error in 2 files, 1 compiled root",
    ]


def test_statistics_count_by_rule(tmp_path: Path) -> None:
    rows = list(statistics.render(samples.everything(), samples.context(tmp_path)))
    assert rows[0].split() == ["2", "error", "VL201", "batch-size-branch"]
    assert [row.split()[0] for row in rows[:-1]] == ["2", "1", "1", "1"]


def test_json_has_exactly_the_documented_fields(tmp_path: Path) -> None:
    document = json.loads(text("json", samples.everything(), tmp_path))
    assert document.keys() == {"version", "findings", "errors", "summary"}
    assert document["version"] == 1
    for record in document["findings"]:
        assert record.keys() == POSITION | {
            *("code", "name", "severity", "confidence", "promise", "stage"),
            *("message", "help", "root", "steps", "fixes", "verdict", "evidence"),
        }
        assert all(step.keys() == POSITION | {"message"} for step in record["steps"])
        for fix in record["fixes"]:
            assert fix.keys() == {"title", "safety", "edits", "proof", "reason"}
            assert all(edit.keys() == POSITION | {"replacement"} for edit in fix["edits"])
    branch = document["findings"][1]
    assert branch["root"] == {"name": "ToyModel.forward", "path": "model.py", "line": 9, "contract": "vllm"}
    assert (branch["line"], branch["column"], branch["end_column"]) == (12, 12, 33)
    assert [step["line"] for step in branch["steps"]] == [9, 11, 12]
    assert document["findings"][0]["root"] is None
    assert document["findings"][4]["fixes"][0]["edits"][0]["replacement"] == "positions"
    crash = {"message": "crashed: KeyError: 'x'", "path": "model.py", "rule": "VL205", "kind": "rule"}
    assert document["errors"] == [crash]
    assert document["summary"] == {
        "files": 2,
        "roots": 1,
        "errors": 4,
        "warnings": 1,
        "notes": 0,
        "suppressed": 2,
        "rules": {"VL001": 1, "VL102": 1, "VL201": 2, "VL204": 1},
    }


def test_json_fields_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "output-formats.md").read_text()
    record: dict[str, Any] = json.loads("\n".join(renderer("json")(samples.everything(), samples.context(Path()))))
    for name in (*record, *record["findings"][0], *record["summary"], *record["errors"][0]):
        assert f"`{name}`" in page, name


def test_jsonl_says_the_same_as_json(tmp_path: Path) -> None:
    document = json.loads(text("json", samples.everything(), tmp_path))
    lines = [json.loads(line) for line in text("jsonl", samples.everything(), tmp_path).splitlines()]
    by_type: dict[str, list[dict[str, Any]]] = {"finding": [], "error": [], "summary": []}
    for line in lines:
        by_type[line.pop("type")].append(line)
    assert by_type["finding"] == document["findings"]
    assert by_type["error"] == document["errors"]
    assert by_type["summary"] == [{"version": 1, **document["summary"]}]


def commands(output: str) -> list[str]:
    return re.findall(r"^::(error|warning|notice) file=", output, flags=re.MULTILINE)


def test_github_puts_the_most_severe_first_and_all_into_the_log(tmp_path: Path) -> None:
    note = samples.finding(severity=Severity.NOTE)
    result = samples.result(note, samples.multiline(), samples.finding())
    output = text("github", result, tmp_path)
    assert commands(output) == ["error", "warning", "notice"]
    log = output.split("::stop-commands::")[1].splitlines()
    assert [line.split(":")[1] for line in log[1:4]] == ["12", "15", "12"]
    assert log[4] == f"::{log[0]}::"


def test_github_escapes_what_would_end_a_property_or_a_line(tmp_path: Path) -> None:
    nasty = samples.finding(path="a,b:c%.py", message="100%\r\n::error::injected", steps=(), help="", root=None)
    (command, *_rest) = text("github", samples.result(nasty), tmp_path).splitlines()
    assert command == (
        "::error file=a%2Cb%3Ac%25.py,line=12,endLine=12,col=12,endColumn=33,title=VL201 batch-size-branch"
        "::100%25%0A::error::injected"
    )


def test_github_gives_no_columns_over_several_lines(tmp_path: Path) -> None:
    command = text("github", samples.result(samples.multiline()), tmp_path).splitlines()[0]
    assert "line=15,endLine=21,title=" in command


def test_github_paths_are_relative_to_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    folder = tmp_path / "sub"
    folder.mkdir()
    assert "file=sub/model.py," in text("github", samples.result(samples.finding()), folder)


def test_github_says_when_the_tool_failed(tmp_path: Path) -> None:
    output = text("github", samples.everything(), tmp_path)
    assert output.startswith("::error title=vllm-lint::crashed: KeyError: 'x' (rule VL205, model.py)\n")


def test_the_step_summary_is_a_markdown_table(tmp_path: Path) -> None:
    nasty = samples.finding(message="`a | b`\n<script>")
    summary = github.step_summary(samples.result(nasty), samples.context(tmp_path))
    assert summary.splitlines()[-1] == (
        "| error | VL201 batch-size-branch | `model.py:12:12` | `a \\| b` &lt;script> |"
    )


def test_the_step_summary_stays_within_what_github_takes(tmp_path: Path) -> None:
    many = samples.result(*[samples.finding(message="x" * 1000)] * 2000)
    summary = github.step_summary(many, samples.context(tmp_path))
    assert len(summary.encode()) < 1024 * 1024
    assert re.search(r"\n\d+ more findings are in the log.\n$", summary)


def run_of(result: CheckResult, folder: Path) -> dict[str, Any]:
    log = json.loads(text("sarif", result, folder))
    # The schema asks for draft 4; formats such as uri are checked too where the validator can.
    validator = jsonschema.Draft4Validator(
        json.loads(SARIF_SCHEMA.read_text()), format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER
    )
    validator.validate(log)
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def test_sarif_is_valid(tmp_path: Path) -> None:
    run_of(samples.everything(), tmp_path)
    run_of(samples.result(), tmp_path)


def test_sarif_carries_the_path_as_a_code_flow_and_related_locations(tmp_path: Path) -> None:
    run = run_of(samples.result(samples.across_files()), tmp_path)
    (result,) = run["results"]
    (flow,) = result["codeFlows"]
    places = [
        (at["location"]["physicalLocation"]["artifactLocation"]["uri"], at["location"]["message"]["text"])
        for at in flow["threadFlows"][0]["locations"]
    ]
    assert places[0] == ("model.py", "dim 0 of `input_ids` is the number of tokens")
    assert places[3] == ("helpers.py", "returned")
    assert len(places) == 6
    assert [related["id"] for related in result["relatedLocations"]] == [1, 2, 3, 4, 5, 6, 7]
    assert result["relatedLocations"][-1]["physicalLocation"]["region"] == {"startLine": 9}
    assert run["columnKind"] == "unicodeCodePoints"
    assert (result["level"], result["rank"]) == ("error", 60.0)


def test_a_sarif_flow_ends_at_the_finding(tmp_path: Path) -> None:
    found = samples.finding(steps=(Step(Span("model.py", 9, 23, 9, 32), "enters"),))
    (result,) = run_of(samples.result(found), tmp_path)["results"]
    last = result["codeFlows"][0]["threadFlows"][0]["locations"][-1]["location"]
    assert last["physicalLocation"] == result["locations"][0]["physicalLocation"]


def test_sarif_rules_have_help_and_results_point_at_them(tmp_path: Path) -> None:
    run = run_of(samples.everything(), tmp_path)
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    unreadable = next(rule for rule in rules if rule["id"] == "VL001")
    assert "## What it flags" in unreadable["help"]["markdown"]
    assert unreadable["name"] == "UnreadableFile"
    assert all(len(rule.get("properties", {}).get("tags", [])) <= 10 for rule in rules)


def test_sarif_fixes_replace_text(tmp_path: Path) -> None:
    (result,) = run_of(samples.result(samples.wide_characters()), tmp_path)["results"]
    (replacement,) = result["fixes"][0]["artifactChanges"][0]["replacements"]
    assert replacement["insertedContent"] == {"text": "positions"}
    assert replacement["deletedRegion"]["startLine"] == 22


def test_sarif_tells_of_a_crash(tmp_path: Path) -> None:
    (invocation,) = run_of(samples.everything(), tmp_path)["invocations"]
    assert invocation["executionSuccessful"] is False
    (note,) = invocation["toolExecutionNotifications"]
    assert note["associatedRule"] == {"id": "VL205"}
    (clean,) = run_of(samples.result(), tmp_path)["invocations"]
    assert clean["executionSuccessful"] is True


def test_sarif_quotes_paths_and_places_outside_the_checkout(tmp_path: Path) -> None:
    inside = samples.finding(path="a b/ü%.py", steps=(), root=None)
    outside = samples.finding(path="/elsewhere/x.py", steps=(), root=None)
    above = samples.finding(path="../other/y.py", steps=(), root=None)
    folder = tmp_path / "base"
    folder.mkdir()
    run = run_of(samples.result(inside, outside, above), folder)
    at = [result["locations"][0]["physicalLocation"]["artifactLocation"] for result in run["results"]]
    assert at[0] == {"uri": "a%20b/%C3%BC%25.py", "uriBaseId": "SRCROOT"}
    assert at[1] == {"uri": "file:///elsewhere/x.py"}
    assert at[2]["uri"] == f"file://{tmp_path}/other/y.py"


def test_sarif_messages_quote_source_that_looks_like_placeholders(tmp_path: Path) -> None:
    found = samples.finding(message="`f'{0}'` and `x[i](0)` and `{n}`", help="", steps=())
    (result,) = run_of(samples.result(found), tmp_path)["results"]
    assert result["message"]["text"] == "`f'{{0}}'` and `x\\[i\\](0)` and `{n}`"


def fingerprints(result: CheckResult, folder: Path) -> list[str]:
    return [each["partialFingerprints"]["vllmLintFinding/v1"] for each in run_of(result, folder)["results"]]


def test_fingerprints_survive_moved_lines_and_tell_findings_apart(tmp_path: Path) -> None:
    twice = (samples.finding(), samples.finding(column=13), samples.across_files())
    before = fingerprints(samples.result(*twice), tmp_path)
    assert len(set(before)) == 3
    moved = tmp_path / "moved"
    moved.mkdir()
    samples.write_sources(moved)
    (moved / "model.py").write_text("# a new line\n" + samples.MODEL, encoding="utf-8")
    shifted = [replace_lines(finding, 1) for finding in twice]
    log = "\n".join(sarif.render(samples.result(*shifted), samples.context(moved)))
    after = [each["partialFingerprints"]["vllmLintFinding/v1"] for each in json.loads(log)["runs"][0]["results"]]
    assert after == before


def replace_lines(finding: Any, by: int) -> Any:
    return samples.finding(
        **{
            name: getattr(finding, name)
            for name in ("code", "column", "end_column", "message", "confidence", "root", "severity")
        },
        line=finding.line + by,
        end_line=finding.end_line + by,
        steps=(),
    )


def test_sarif_keeps_the_most_severe_within_the_limit_of_an_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sarif, "_MAX_RESULTS", 2)
    result = samples.result(samples.multiline(), samples.finding(), samples.across_files())
    run = run_of(result, tmp_path)
    assert [each["level"] for each in run["results"]] == ["error", "error"]
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"] == "1 findings left out: a SARIF run holds 2"


def test_concise_and_github_show_no_control_characters(tmp_path: Path) -> None:
    nasty = samples.result(samples.finding(message="\x1b[2J"))
    assert "\x1b" not in "\n".join(concise.render(nasty, samples.context(tmp_path)))
    assert "\x1b" not in "\n".join(github.render(nasty, samples.context(tmp_path)))


def test_errors_without_a_rule_are_warnings_of_the_run(tmp_path: Path) -> None:
    result = replace(samples.result(), errors=(ToolError("going on without a cache"),))
    (invocation,) = run_of(result, tmp_path)["invocations"]
    assert invocation["executionSuccessful"] is True
