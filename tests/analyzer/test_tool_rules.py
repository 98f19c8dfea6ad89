from __future__ import annotations

import pytest

from vllm_lint.analyzer.events import Event, FileProblem, SuppressionProblem, UnresolvedRoot
from vllm_lint.analyzer.findings import Edit, Span
from vllm_lint.rules import catalogue

PLACE = Span("m.py", 1, 8, 1, 20)
COMMENT = Span("m.py", 1, 6, 1, 20)


def reports(event: Event) -> dict[str, tuple[str, str]]:
    """Message and help by code, over all rules about the tool."""
    rules = [rule for rule in catalogue.RULES if rule.meta.code.startswith("VL0") and type(event) in rule.events]
    return {rule.meta.code: (report.message, report.help) for rule in rules for report in rule().check(event)}


def suppression(kind: str, text: str) -> SuppressionProblem:
    return SuppressionProblem(span=PLACE, kind=kind, text=text, comment=COMMENT, removal="")


def test_files() -> None:
    unreadable = FileProblem(span=PLACE, kind="unreadable", reason="permission denied")
    assert reports(unreadable) == {"VL001": ("cannot read this file: permission denied", "nothing in it was checked")}
    unparsable = FileProblem(span=PLACE, kind="unparsable", reason="not valid Python 3.11: invalid syntax")
    assert list(reports(unparsable)) == ["VL002"]


def test_unused_suppression_has_a_safe_fix() -> None:
    [rule] = catalogue.find("unused-suppression")
    [report] = rule().check(suppression("unused", "VL201"))
    assert report.message == "`VL201` silences nothing here"
    [fix] = report.fixes
    assert (fix.safety, fix.edits) == ("safe", (Edit(COMMENT, ""),))
    assert list(reports(suppression("unused", "VL201"))) == ["VL003"]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("unused-supression", "did you mean `unused-suppression`?"),
        ("VL0003", "did you mean `VL003`?"),
        ("nonsense", "`vllm-lint rules` lists codes and names"),
    ],
)
def test_unknown_code(text: str, advice: str) -> None:
    message = f"`{text}` is the code or name of no rule"
    assert reports(suppression("unknown-code", text)) == {"VL004": (message, advice)}


@pytest.mark.parametrize("text", ["VL003", "unused-suppression", "VL0", "VL00"])
def test_rule_that_was_not_selected_is_known(text: str) -> None:
    assert reports(suppression("unknown-code", text)) == {}


@pytest.mark.parametrize(
    ("verb", "message", "advice"),
    [
        ("ignore", "names no single rule", "write `# vllm-lint: ignore[CODE] reason`"),
        ("file-ignore", "names no single rule", "write `# vllm-lint: file-ignore[CODE] reason`"),
        ("ingore", "is neither ignore nor file-ignore", "write `# vllm-lint: ignore[CODE] reason`"),
    ],
)
def test_malformed(verb: str, message: str, advice: str) -> None:
    expected = (f"`vllm-lint: {verb}` {message}, so it silences nothing", advice)
    assert reports(suppression("malformed", verb)) == {"VL005": expected}


def test_without_reason_is_opt_in() -> None:
    assert list(reports(suppression("no-reason", "# noqa: VL201"))) == ["VL006"]
    [rule] = catalogue.find("VL006")
    assert rule.meta.opt_in
    assert catalogue.find("suppression-without-reason") == (rule,)
    for selector in ("ALL", "VL", "VL0", "VL00"):
        assert rule not in catalogue.find(selector)


def test_unresolved_root() -> None:
    event = UnresolvedRoot(span=PLACE, name="models.llama:Lama", reason="the module has no such class")
    assert reports(event)["VL007"][0] == "cannot check `models.llama:Lama`: the module has no such class"


def test_messages_keep_the_style() -> None:
    events: list[Event] = [
        FileProblem(span=PLACE, kind="unreadable", reason="permission denied"),
        FileProblem(span=PLACE, kind="unparsable", reason="invalid syntax"),
        UnresolvedRoot(span=PLACE, name="a:B", reason="no such class"),
        *(suppression(kind, "VL9x") for kind in ("unused", "unknown-code", "malformed", "no-reason")),
    ]
    seen = {code: texts for event in events for code, texts in reports(event).items()}
    assert sorted(seen) == ["VL001", "VL002", "VL003", "VL004", "VL005", "VL006", "VL007"]
    for text in (text for texts in seen.values() for text in texts if text):
        assert not text[0].isupper()
        assert not text.endswith(".")
        assert "\n" not in text
