from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli import samples
from tests.cli.conftest import ErrorLine, Program
from vllm_lint.analyzer.findings import Finding, Span, Step
from vllm_lint.cli.changes import Changes


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The user's own git settings must not matter.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    samples.write_sources(tmp_path)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=first")
    return tmp_path


def change(folder: Path, name: str, number: int, text: str | None) -> None:
    """Replace line `number`, or remove it if `text` is None."""
    lines = (folder / name).read_text().splitlines(keepends=True)
    lines[number - 1 : number] = [] if text is None else [text + "\n"]
    (folder / name).write_text("".join(lines))


def at(line: int, end_line: int | None = None, path: str = "model.py", steps: tuple[Step, ...] = ()) -> Finding:
    return samples.finding(path=path, line=line, end_line=end_line or line, steps=steps)


def test_only_changed_lines_count(repository: Path) -> None:
    change(repository, "model.py", 12, "        if changed:")
    changes = Changes("HEAD", repository)
    assert [changes.touch(at(line)) for line in (11, 12, 13)] == [False, True, False]
    assert changes.touch(at(10, 14))


def test_a_step_on_a_changed_line_counts(repository: Path) -> None:
    change(repository, "helpers.py", 6, "    return x.numel()")
    changes = Changes("HEAD", repository)
    assert changes.touch(at(14, steps=(Step(Span("helpers.py", 6, 5, 6, 21), "returned"),)))
    assert not changes.touch(at(14))


def test_staged_and_committed_changes_count(repository: Path) -> None:
    change(repository, "model.py", 12, "        if staged:")
    git(repository, "add", ".")
    assert Changes("HEAD", repository).touch(at(12))
    git(repository, "commit", "--quiet", "--message=second")
    assert not Changes("HEAD", repository).touch(at(12))
    assert Changes("HEAD~1", repository).touch(at(12))


def test_a_removed_line_changes_what_went_around_it(repository: Path) -> None:
    change(repository, "model.py", 16, None)
    changes = Changes("HEAD", repository)
    assert changes.touch(at(15, 20))
    assert not changes.touch(at(15))
    assert not changes.touch(at(16))


@pytest.mark.parametrize("name", ["new.py", 'quo"te.py', "tab\there.py", "ünïcode.py", "sub dir/x.py"])
def test_untracked_and_oddly_named_files(repository: Path, name: str) -> None:
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("a\nb\n")
    assert Changes("HEAD", repository).touch(at(1, path=name))
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=second")
    assert not Changes("HEAD", repository).touch(at(1, path=name))
    change(repository, name, 2, "c")
    changes = Changes("HEAD", repository)
    assert [changes.touch(at(line, path=name)) for line in (1, 2)] == [False, True]


def test_source_that_looks_like_a_diff_is_source(repository: Path) -> None:
    change(repository, "model.py", 3, "++ b/helpers.py")
    changes = Changes("HEAD", repository)
    assert changes.touch(at(3))
    assert not changes.touch(at(3, path="helpers.py"))


def test_the_users_diff_settings_do_not_matter(repository: Path) -> None:
    git(repository, "config", "diff.noprefix", "true")
    git(repository, "config", "diff.external", "false")
    git(repository, "config", "color.diff", "always")
    change(repository, "model.py", 12, "        if changed:")
    assert Changes("HEAD", repository).touch(at(12))


def test_paths_are_relative_to_where_the_program_runs(repository: Path) -> None:
    (repository / "sub").mkdir()
    change(repository, "model.py", 12, "        if changed:")
    assert Changes("HEAD", repository / "sub").touch(at(12, path="../model.py"))
    assert not Changes("HEAD", repository).touch(at(12, path="/elsewhere/model.py"))


def test_the_option_filters_findings(program: Program, repository: Path) -> None:
    assert program.folder == repository
    change(repository, "model.py", 14, "        if is_large( hidden ):")
    said = program.run("--diff-from", "HEAD", "--output-format", "concise", ".")
    assert [line.split(": ")[0] for line in said.stdout.splitlines()[:-1]] == ["model.py:14:12"]


def test_a_wrong_revision_is_one_line(program: Program, repository: Path, error_line: ErrorLine) -> None:
    assert program.folder == repository
    for ref in ("no-such", "--output=x", ""):
        line = error_line(program.run(f"--diff-from={ref}", "."))
        assert line == f"--diff-from: unknown git revision {ref!r}"


def test_no_repository_is_one_line(program: Program, error_line: ErrorLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(program.folder.parent))
    assert error_line(program.run("--diff-from", "HEAD", ".")).startswith("--diff-from: git: not a git repository")


def test_no_git_is_one_line(program: Program, error_line: ErrorLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert error_line(program.run("--diff-from", "HEAD", ".")) == "--diff-from needs git, which is not installed"
