from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vllm_lint.analyzer.discovery import Discovery, discover, display_name
from vllm_lint.analyzer.engine import Settings


def write(base: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def found(base: Path, *paths: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return names(run(base, *paths, exclude=exclude), base)


def run(base: Path, *paths: str, exclude: tuple[str, ...] = ()) -> Discovery:
    return discover(Settings(paths=tuple(map(Path, paths or (".",))), base=base, exclude=exclude))


def names(discovery: Discovery, base: Path) -> list[str]:
    return [display_name(path, base) for path in discovery.files]


def excluded(discovery: Discovery, base: Path) -> dict[str, str]:
    return {display_name(path, base): reason for path, reason in discovery.excluded}


def test_python_files_of_a_folder_in_order(tmp_path: Path) -> None:
    write(tmp_path, "b.py", "a/z.py", "a/b.py", "a.py", "notes.txt", "stub.pyi", "x.py.bak", "deep/er/c.py")
    assert found(tmp_path) == ["a/b.py", "a/z.py", "a.py", "b.py", "deep/er/c.py"]


def test_empty_folder(tmp_path: Path) -> None:
    assert run(tmp_path) == Discovery()


@pytest.mark.parametrize("path", ["gone.py", "gone", "a.py/b.py"])
def test_missing_path(tmp_path: Path, path: str) -> None:
    write(tmp_path, "a.py")
    with pytest.raises(FileNotFoundError, match=f"no such file or folder: {path}"):
        run(tmp_path, "a.py", path)


def test_path_given_twice(tmp_path: Path) -> None:
    write(tmp_path, "m/a.py")
    assert found(tmp_path, "m", "m/a.py", "./m/../m", str(tmp_path / "m")) == ["m/a.py"]


def test_named_file_is_checked_whatever_excludes_it(tmp_path: Path) -> None:
    write(tmp_path, ".venv/a.py", "model.txt", "generated.py")
    write(tmp_path, ".gitignore", text="generated.py\n")
    given = (".venv/a.py", "generated.py", "model.txt")
    assert found(tmp_path, *given, exclude=("*.py",)) == list(given)


def test_forced_patterns_hold_for_named_paths(tmp_path: Path) -> None:
    write(tmp_path, "third_party/deep/a.py", "third_party/own/b.py", "generated.py", "model.py")
    given = tuple(map(Path, ("third_party/deep/a.py", "third_party/own", "generated.py", "model.py")))
    exclude = ("third_party/*", "!third_party/own", "generated.py")
    forced = discover(Settings(paths=given, base=tmp_path, exclude=exclude, force_exclude=True))
    assert names(forced, tmp_path) == ["model.py", "third_party/own/b.py"]
    assert excluded(forced, tmp_path) == {
        "generated.py": "excluded by the setting exclude (generated.py)",
        "third_party/deep": "excluded by the setting exclude (third_party/*)",
    }


def test_only_the_setting_is_forced(tmp_path: Path) -> None:
    write(tmp_path, ".venv/a.py", "generated.py")
    write(tmp_path, ".gitignore", text="generated.py\n")
    given = tuple(map(Path, (".venv/a.py", "generated.py")))
    forced = discover(Settings(paths=given, base=tmp_path, exclude=("other/",), force_exclude=True))
    assert names(forced, tmp_path) == [".venv/a.py", "generated.py"]


def test_named_folder_is_walked_whatever_excludes_it(tmp_path: Path) -> None:
    write(tmp_path, "site-packages/vllm/a.py", "site-packages/vllm/venv/pyvenv.cfg", "site-packages/vllm/venv/b.py")
    write(tmp_path, ".gitignore", text="site-packages/\n")
    (tmp_path / ".git").mkdir()
    assert found(tmp_path) == []
    assert found(tmp_path, "site-packages", exclude=("site-packages",)) == ["site-packages/vllm/a.py"]


def test_folders_excluded_by_default(tmp_path: Path) -> None:
    write(tmp_path, "a.py", ".git/a.py", "__pycache__/a.py", ".tox/a.py", "node_modules/a.py", "x/build/a.py")
    write(tmp_path, "package/build/__init__.py", "any/pyvenv.cfg", "any/a.py")
    discovery = run(tmp_path)
    assert names(discovery, tmp_path) == ["a.py", "package/build/__init__.py"]
    assert excluded(discovery, tmp_path) == {
        ".tox": "folders named .tox are excluded by default",
        "any": "is a virtual environment",
        "node_modules": "folders named node_modules are excluded by default",
        "x/build": "folders named build are excluded by default",
    }


def test_ignore_files_at_every_level(tmp_path: Path) -> None:
    (tmp_path / ".git" / "info").mkdir(parents=True)
    write(tmp_path, ".git/info/exclude", text="secret.py\n")
    write(tmp_path, ".gitignore", text="# made by a program\n*_pb2.py\n/top.py\nout/\n")
    write(tmp_path, "m/.gitignore", text="!keep_pb2.py\nlocal.py\n")
    write(tmp_path, "top.py", "m/top.py", "m/a_pb2.py", "m/keep_pb2.py", "m/local.py", "local.py", "m/secret.py")
    write(tmp_path, "m/out/a.py", "ok.py")
    discovery = run(tmp_path)
    assert names(discovery, tmp_path) == ["local.py", "m/keep_pb2.py", "m/top.py", "ok.py"]
    assert excluded(discovery, tmp_path) == {
        "m/a_pb2.py": "excluded by .gitignore (*_pb2.py)",
        "m/local.py": "excluded by m/.gitignore (local.py)",
        "m/out": "excluded by .gitignore (out/)",
        "m/secret.py": "excluded by .git/info/exclude (secret.py)",
        "top.py": "excluded by .gitignore (/top.py)",
    }
    assert found(tmp_path, "m") == ["m/keep_pb2.py", "m/top.py"]


def test_ignore_files_above_the_repository_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, ".gitignore", text="*.py\n")
    write(tmp_path, "repository/a.py", "plain/a.py")
    (tmp_path / "repository" / ".git").mkdir()
    assert found(tmp_path, "repository", "plain") == ["plain/a.py", "repository/a.py"]


def test_same_files_as_git(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b/a.py", "b/c/a.py", "b/c/d.py", "doc/x.py", "src/doc/x.py", "src/t1.py", "src/t22.py")
    write(tmp_path, ".gitignore", text="b/*\n!b/c\n/doc\nt?.py\nbad\\\n")
    write(tmp_path, "b/c/.gitignore", text="*\n!d.py\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    command = ["git", "-C", str(tmp_path), "ls-files", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert found(tmp_path) == sorted(listed, key=lambda name: name.split("/"))


def test_exclude_file_of_a_worktree(tmp_path: Path) -> None:
    write(tmp_path, "main/.git/info/exclude", text="secret.py\n")
    write(tmp_path, "main/.git/worktrees/w/commondir", text="../..\n")
    write(tmp_path, "w/.git", text=f"gitdir: {tmp_path}/main/.git/worktrees/w\n")
    write(tmp_path, "w/secret.py", "w/a.py")
    assert found(tmp_path, "w") == ["w/a.py"]


def test_exclude_setting(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "tests/a.py", "m/tests/a.py", "m/gen_a.py")
    write(tmp_path, ".gitignore", text="a.py\n")
    discovery = run(tmp_path, exclude=("/tests", "gen_*", "!/a.py"))
    assert names(discovery, tmp_path) == ["a.py"]
    assert excluded(discovery, tmp_path)["tests"] == "excluded by the setting exclude (/tests)"
    with pytest.raises(ValueError, match="exclude: '!' is not a gitignore pattern"):
        run(tmp_path, exclude=("!",))


def test_notebooks(tmp_path: Path) -> None:
    write(tmp_path, "n.ipynb", "a.py")
    discovery = run(tmp_path)
    assert names(discovery, tmp_path) == ["a.py"]
    assert excluded(discovery, tmp_path) == {"n.ipynb": "notebooks are not read"}
    named = run(tmp_path, "n.ipynb")
    assert named.files == ()
    assert [(p.span.path, p.kind) for p in named.problems] == [("n.ipynb", "unreadable")]
    assert "notebooks are not read" in named.problems[0].reason


def test_link_loops_end(tmp_path: Path) -> None:
    write(tmp_path, "m/a.py")
    (tmp_path / "m" / "up").symlink_to("..")
    (tmp_path / "m" / "x.py").symlink_to("y.py")
    (tmp_path / "m" / "y.py").symlink_to("x.py")
    discovery = run(tmp_path)
    assert names(discovery, tmp_path) == ["m/a.py"]
    assert excluded(discovery, tmp_path) == {"m/up": "links to folders are not followed"}
    assert {p.span.path: p.reason for p in discovery.problems} == {
        "m/x.py": "link that leads back to itself",
        "m/y.py": "link that leads back to itself",
    }


def test_file_is_checked_once_under_its_own_name(tmp_path: Path) -> None:
    write(tmp_path, "m/real.py", "elsewhere/other.py")
    (tmp_path / "m" / "a.py").symlink_to("real.py")
    (tmp_path / "m" / "b.py").symlink_to("../elsewhere/other.py")
    (tmp_path / "m" / "c.py").symlink_to("../elsewhere/other.py")
    discovery = run(tmp_path, "m")
    assert names(discovery, tmp_path) == ["m/b.py", "m/real.py"]
    assert excluded(discovery, tmp_path) == {
        "m/a.py": "links to m/real.py, which is checked",
        "m/c.py": "links to m/b.py, which is checked",
    }
    (tmp_path / "link").symlink_to("m")
    assert found(tmp_path, "m", "link") == ["link/b.py", "m/real.py"]


def test_dangling_links(tmp_path: Path) -> None:
    (tmp_path / "a.py").symlink_to("gone.py")
    (tmp_path / ".#b.py").symlink_to("somebody@somewhere.4242")
    (tmp_path / "c").symlink_to("gone")
    discovery = run(tmp_path)
    assert {p.span.path: p.reason for p in discovery.problems} == {"a.py": "dangling link to gone.py"}
    # Named by the user it counts as a file, and reading it says the same.
    assert found(tmp_path, "a.py") == ["a.py"]


def test_odd_entries(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    write(tmp_path, "folder.py/a.py", ".py", "with space\n.py")
    assert found(tmp_path) == [".py", "folder.py/a.py", "with space\n.py"]


def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/gr\xf6sse.py")
    try:
        Path(path).write_text("x = 1\n")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert found(tmp_path) == ["gr\ufffdsse.py"]


def test_folder_without_permission(closed_to_us: Path) -> None:
    write(closed_to_us, "a.py", "closed/b.py")
    (closed_to_us / "closed").chmod(0)
    discovery = run(closed_to_us)
    assert names(discovery, closed_to_us) == ["a.py"]
    assert [(p.span.path, p.reason) for p in discovery.problems] == [("closed", "permission denied")]
    (closed_to_us / "closed").chmod(0o700)


def test_display_name(tmp_path: Path) -> None:
    assert display_name(tmp_path / "m" / "a.py", tmp_path) == "m/a.py"
    assert display_name(Path("/elsewhere/a.py"), tmp_path) == "/elsewhere/a.py"
