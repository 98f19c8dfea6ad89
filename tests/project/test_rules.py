"""Every rule is complete: metadata, documentation, one file, and fixtures."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from vllm_lint.analyzer.findings import Promise
from vllm_lint.analyzer.lifecycle import Lifecycle, Stage
from vllm_lint.analyzer.rule import DOC_HEADINGS, Meta, Rule
from vllm_lint.rules.catalogue import RULES, find

ROOT = Path(__file__).parent.parent.parent
FAMILIES = {
    "0": {Promise.TOOL},
    "1": {Promise.CAPTURE},
    "2": {Promise.ALL_SIZES},
    "3": {Promise.HONEST_OPERATORS},
    "4": {Promise.REPLAYABLE},
    "5": {Promise.CACHE_KEY},
    "6": {Promise.NO_STEP_STATE},
}

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.meta.code)


def test_table_is_in_code_order_without_twins() -> None:
    codes = [rule.meta.code for rule in RULES]
    assert codes == sorted(set(codes))
    words = [word for rule in RULES for word in (rule.meta.code, rule.meta.name, *rule.meta.former)]
    assert len(set(words)) == len(words)


@each_rule
def test_metadata(rule: type[Rule]) -> None:
    meta = rule.meta
    assert re.fullmatch(r"VL\d{3}", meta.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", meta.name)
    assert not meta.name.startswith(("no-", "use-"))
    assert meta.promise in FAMILIES[meta.code[2]]
    assert_is_possible(meta)
    assert meta.fix in {"none", "safe", "unsafe", "sometimes"}
    assert SpecifierSet(meta.torch).contains("2.13.0") == meta.holds_for("2.13.0")
    assert meta.contracts
    assert not meta.proof.startswith("static only") or re.match(r"static only, because \w+", meta.proof)
    assert find(meta.code) == find(meta.name) == (rule,)
    assert all(find(word) == (rule,) for word in meta.former)


def assert_is_possible(meta: Meta) -> None:
    """Stages follow each other, none begins in the future, and a rule that goes says what takes its place."""
    history = meta.lifecycle.history
    versions = [Version(text) for text in history.values()]
    assert versions == sorted(set(versions))
    assert versions[-1] <= Version(version("vllm-lint"))
    goes = {Stage.DEPRECATED, Stage.REMOVED} & history.keys()
    assert bool(goes) == bool(meta.lifecycle.replaced_by)
    for successor in find(meta.lifecycle.replaced_by):
        assert successor.meta.stage in {Stage.PREVIEW, Stage.STABLE}
    assert not goes or find(meta.lifecycle.replaced_by)


@pytest.mark.parametrize(
    "lifecycle",
    [
        Lifecycle(preview="99.0"),
        Lifecycle(preview="0.1.0", stable="0.1.0"),
        Lifecycle(preview="0.2.0", stable="0.1.0"),
        Lifecycle(deprecated="0.1.0"),
        Lifecycle(deprecated="0.1.0", replaced_by="VL999"),
        Lifecycle(stable="0.1.0", replaced_by="VL201"),
        Lifecycle(),
    ],
)
def test_an_impossible_lifecycle_is_noticed(lifecycle: Lifecycle) -> None:
    meta = replace(find("VL201")[0].meta, lifecycle=lifecycle)
    with pytest.raises((AssertionError, IndexError)):
        assert_is_possible(meta)


@each_rule
def test_documentation_has_its_headings_in_order(rule: type[Rule]) -> None:
    text = rule.documentation()
    assert tuple(re.findall(r"^## (.+)$", text, flags=re.MULTILINE)) == DOC_HEADINGS
    assert all(rule.section(heading) for heading in DOC_HEADINGS)
    assert re.match(r"[A-Z`]", rule.summary())
    assert rule.summary().endswith(".")


@each_rule
@pytest.mark.parametrize("heading", ["Example", "Use instead"])
def test_examples_parse(rule: type[Rule], heading: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", rule.section(heading), flags=re.MULTILINE | re.DOTALL)
    assert blocks or rule.meta.name == "unreadable-file"
    for block in blocks:
        if (rule.meta.name, heading) == ("unparsable-file", "Example"):
            with pytest.raises(SyntaxError):
                ast.parse(block)
        else:
            ast.parse(block)


@each_rule
def test_rule_stands_alone_in_a_file_that_has_its_name(rule: type[Rule]) -> None:
    path = Path(inspect.getfile(rule))
    assert path.stem == rule.meta.name.replace("-", "_")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert rule.__name__ in {node.name for node in classes}
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


@each_rule
def test_rule_neither_prints_nor_reads_nor_swallows(rule: type[Rule]) -> None:
    tree = ast.parse(Path(inspect.getfile(rule)).read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"print", "open", "input", "Path", "os.getenv", "click.echo"}
    caught = [node.type for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    assert not any(kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in caught)


# Rules about the input itself need files that are not Python; the analyzer's tests make them.
@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.meta.promise is not Promise.TOOL], ids=lambda rule: rule.meta.code
)
def test_rule_has_fixtures(rule: type[Rule]) -> None:
    (folder,) = (ROOT / "fixtures").glob(f"{rule.meta.code}_*")
    assert folder.name == f"{rule.meta.code}_{rule.meta.name.replace('-', '_')}"
    assert {"flagged.py", "clean.py", "repaired.py"} <= {path.name for path in folder.iterdir()}
    assert f"# expect: {rule.meta.code}" in (folder / "flagged.py").read_text(encoding="utf-8")
    for name in ("clean.py", "repaired.py"):
        assert "# expect:" not in (folder / name).read_text(encoding="utf-8")
