"""How findings are worded, checked on what the rules really say about their fixtures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Finding
from vllm_lint.rules.catalogue import RULES

ROOT = Path(__file__).parent.parent.parent
FOLDERS = sorted(path for path in (ROOT / "fixtures").iterdir() if path.is_dir() and path.name.startswith("VL"))


def findings_in(folder: Path) -> tuple[Finding, ...]:
    paths = tuple(path for path in (folder / "flagged.py",) if path.exists())
    return check(Settings(paths=paths, base=ROOT, source_roots=(folder,), jobs=1), RULES).findings


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_messages_follow_the_style(folder: Path) -> None:
    findings = findings_in(folder)
    assert findings
    for finding in findings:
        for text in (finding.message, *filter(None, [finding.help]), *(step.message for step in finding.steps)):
            # A name from the user's source may start with a capital; a sentence may not.
            assert re.match(r"`|[a-z]", text), text
            assert not text.endswith((".", "!")), text
            assert "\n" not in text, text
        assert "`" in finding.message, f"names nothing from the source: {finding.message}"
