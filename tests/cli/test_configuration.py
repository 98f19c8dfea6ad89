from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from tests.cli import samples
from tests.cli.conftest import ErrorLine, Program
from vllm_lint.analyzer.findings import Confidence
from vllm_lint.cli.configuration import Configuration, Verification
from vllm_lint.cli.schema import field_docs, json_schema, markdown_table


def configure(program: Program, text: str, name: str = "vllm-lint.toml") -> None:
    target = program.folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def test_settings_reach_the_analysis(program: Program) -> None:
    configure(
        program,
        """
        select = ["VL001", "VL003"]
        exclude = ["build/"]
        source-roots = ["src"]
        roots = ["pkg.mod:Model"]
        search-installed = false
        cache-dir = "kept"
        """,
    )
    program.run(".")
    settings = program.asked()
    assert program.codes == ("VL001", "VL003")
    assert settings.exclude == ("build/",)
    assert settings.source_roots == (program.folder / "src",)
    assert settings.roots == ("pkg.mod:Model",)
    assert settings.search_installed is False
    assert settings.cache_dir == program.folder / "kept"


def test_pyproject_is_read_and_others_tables_are_not(program: Program) -> None:
    configure(program, '[tool.other]\nselect = 1\n[tool.vllm-lint]\nselect = ["VL001"]\n', "pyproject.toml")
    program.run(".")
    assert program.codes == ("VL001",)


def test_the_nearest_file_at_or_above_the_first_path_counts(program: Program) -> None:
    configure(program, 'select = ["VL001"]')
    configure(program, "[project]\nname = 'x'\n", "a/pyproject.toml")
    configure(program, 'select = ["VL003"]', "a/b/vllm-lint.toml")
    (program.folder / "a/b/c").mkdir()
    program.run("a")
    assert program.codes == ("VL001",)
    program.run("a/b/c", "a")
    assert program.codes == ("VL003",)


def test_own_file_comes_before_pyproject(program: Program) -> None:
    configure(program, 'select = ["VL001"]')
    configure(program, '[tool.vllm-lint]\nselect = ["VL003"]\n', "pyproject.toml")
    program.run(".")
    assert program.codes == ("VL001",)


def test_paths_are_relative_to_the_file_they_stand_in(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(program, 'exclude = ["/old"]\nsource-roots = ["src"]\n')
    (program.folder / "sub").mkdir()
    monkeypatch.chdir("sub")
    program.run(".")
    assert program.asked().exclude_base == program.folder
    assert program.asked().source_roots == (program.folder / "src",)
    program.run(".", "--exclude", "/new")
    assert program.asked().exclude_base == program.folder / "sub"
    assert program.asked().exclude == ("/new",)


def test_the_command_line_comes_before_the_file(program: Program) -> None:
    configure(program, 'select = ["VL001"]\noutput-format = "json"\ncache-dir = "kept"\n')
    said = program.run(".", "--select", "VL003", "--output-format", "concise", "--cache-dir", "other")
    assert program.codes == ("VL003",)
    assert not said.stdout.startswith("{")
    assert program.asked().cache_dir == program.folder / "other"
    program.run(".", "--no-cache")
    assert program.asked().cache_dir is None


def test_config_names_a_file_and_isolated_uses_none(program: Program) -> None:
    configure(program, 'select = ["VL001"]')
    configure(program, 'select = ["VL003"]', "other.toml")
    program.run(".", "--config", "other.toml")
    assert program.codes == ("VL003",)
    program.run(".", "--isolated")
    assert len(program.codes) > 1


def test_min_confidence_from_the_file(program: Program) -> None:
    configure(program, 'min-confidence = "high"')
    program.result = samples.result(samples.across_files())
    assert program.run(".").exit_code == 0


def test_per_file_ignores_match_like_gitignore(program: Program) -> None:
    configure(program, '[per-file-ignores]\n"model.py" = ["batch-size-branch-of-old"]\n')
    assert program.run(".").exit_code == 2  # an unknown rule
    configure(program, '[per-file-ignores]\n"/*.py" = ["VL001"]\n')
    program.result = samples.result(samples.unreadable(), samples.finding())
    said = program.run(".", "--output-format", "concise")
    assert [line.split("[")[1][:5] for line in said.stdout.splitlines()[:-1]] == ["VL201"]
    configure(program, '[per-file-ignores]\n"/sub/*.py" = ["VL001"]\n')
    said = program.run(".", "--output-format", "concise")
    assert len(said.stdout.splitlines()) == 3


def test_suppressions_can_be_made_to_need_a_reason(program: Program) -> None:
    configure(program, "require-suppression-reason = true")
    program.run(".")
    assert {"VL001", "VL006"} <= set(program.codes)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("vllm-lint.toml", "select = [", "vllm-lint.toml is not TOML: "),
        ("vllm-lint.toml", "a = 1\na = 2", "vllm-lint.toml is not TOML: "),
        ("vllm-lint.toml", '\nselct = ["VL2"]', "vllm-lint.toml:2: unknown setting 'selct', did you mean 'select'?"),
        ("vllm-lint.toml", "x.y = 1", "vllm-lint.toml:1: unknown setting 'x'"),
        ("vllm-lint.toml", "[per-file-ignors]\na = []", "vllm-lint.toml:1: unknown setting 'per-file-ignors', did"),
        (
            "pyproject.toml",
            "[tool.a]\nsource_roots = 1\n[tool.vllm-lint]\nsource_roots = []",
            "pyproject.toml:4: unknown setting 'source_roots', did you mean 'source-roots'?",
        ),
        ("pyproject.toml", "[tool]\nvllm-lint = 3", "pyproject.toml: tool.vllm-lint is not a table"),
        ("vllm-lint.toml", 'select = "VL2"', "vllm-lint.toml:1: select: expected array, got str"),
        ("vllm-lint.toml", "select = [1]", "vllm-lint.toml:1: select: expected str, got int"),
        ("vllm-lint.toml", 'min-confidence = "sure"', "vllm-lint.toml:1: min-confidence: invalid enum value 'sure'"),
        ("vllm-lint.toml", 'search-installed = "no"', "vllm-lint.toml:1: search-installed: expected bool, got str"),
        (
            "vllm-lint.toml",
            "[per-file-ignores]\n'a.py' = 'VL2'",
            "vllm-lint.toml:1: per-file-ignores: expected array, got str",
        ),
        (
            "vllm-lint.toml",
            "ignore = ['VL0001']",
            "vllm-lint.toml: ignore: unknown rule 'VL0001', did you mean 'VL001'",
        ),
        ("vllm-lint.toml", "exclude = ['[z-a]']", "vllm-lint.toml: exclude: '[z-a]' is not a gitignore pattern"),
    ],
)
def test_a_wrong_configuration_is_one_line_that_says_where(
    program: Program, error_line: ErrorLine, name: str, text: str, line: str
) -> None:
    configure(program, text, name)
    assert error_line(program.run(".")).startswith(line)


def test_a_configuration_that_is_not_text(program: Program, error_line: ErrorLine) -> None:
    (program.folder / "vllm-lint.toml").write_bytes(b"\xff\xfe")
    assert error_line(program.run(".")) == "vllm-lint.toml is not UTF-8"


def test_a_broken_pyproject_of_others_is_not_our_business(program: Program) -> None:
    configure(program, "[tool.other", "pyproject.toml")
    assert program.run(".").exit_code == 2  # the sample result has a crashed rule
    assert program.settings is not None


def test_every_setting_is_documented() -> None:
    for settings, prefix in ((Configuration, ""), (Verification, "verify.")):
        keys = [field.encode_name for field in msgspec.structs.fields(settings)]
        assert list(field_docs(settings)) == keys
        for key in keys:
            assert f"| `{prefix}{key}` |" in markdown_table() or key == "verify"


@pytest.mark.parametrize(
    ("settings", "is_valid"),
    [
        ({}, True),
        ({"select": ["VL2"], "per-file-ignores": {"a": ["VL2"]}, "min-confidence": "high"}, True),
        ({"selct": []}, False),
        ({"select": "VL2"}, False),
        ({"min-confidence": "sure"}, False),
    ],
)
def test_the_schema_accepts_what_the_program_accepts(settings: dict[str, object], *, is_valid: bool) -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert jsonschema.Draft202012Validator(schema).is_valid(settings) == is_valid
    try:
        msgspec.convert(settings, Configuration)
    except msgspec.ValidationError:
        assert not is_valid
    else:
        assert is_valid


def test_confidences_are_those_of_the_model() -> None:
    assert set(json_schema()["$defs"]["Confidence"]["enum"]) == {level.value for level in Confidence}


def test_the_cache_lies_beside_the_configuration(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(program, "")
    (program.folder / "sub").mkdir()
    monkeypatch.chdir("sub")
    program.run(".")
    assert program.asked().cache_dir == program.folder / ".vllm_lint_cache"
    assert program.run("cache", "dir").stdout == f"{program.folder / '.vllm_lint_cache'}\n"


def test_cache_clean(program: Program) -> None:
    folder = program.folder / "kept"
    folder.mkdir()
    (folder / "CACHEDIR.TAG").write_text("")
    assert program.run("cache", "--cache-dir", "kept", "clean").stdout == f"deleted the cache in {folder}\n"
    assert not Path(folder).exists()
    assert program.run("cache", "--cache-dir", "kept", "clean").stdout == f"there is no cache in {folder}\n"
