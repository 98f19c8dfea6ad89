from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from vllm_lint.analyzer import cache as module
from vllm_lint.analyzer.cache import Cache, clean, code_stamp, default_folder, make_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".vllm_lint_cache"


def put(folder: Path, *keys: str, data: bytes = b"data") -> list[str]:
    """Write `keys` in a run of their own; what went wrong."""
    with closing(Cache(folder)) as cache:
        for key in keys:
            cache.put("facts", key, data)
    return [error.message for error in cache.errors]


def get(folder: Path, key: str) -> bytes | None:
    with closing(Cache(folder)) as cache:
        data = cache.get("facts", key)
    assert cache.errors == []
    return data


def database(folder: Path) -> Path:
    [path] = folder.glob("entries-*.sqlite")
    return path


def test_entries_last(folder: Path) -> None:
    with closing(Cache(folder)) as cache:
        assert cache.get("facts", "a") is None
        cache.put("facts", "a", b"\0one")
        assert cache.get("facts", "a") == b"\0one"
        assert cache.get("findings", "a") is None
    assert get(folder, "a") == b"\0one"
    assert put(folder, "a", data=b"two") == []
    assert get(folder, "a") == b"two"


def test_folder_is_marked(folder: Path) -> None:
    put(folder, "a")
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert (folder / ".gitignore").read_text() == "*\n"


def test_no_cache() -> None:
    with closing(Cache(None)) as cache:
        cache.put("facts", "a", b"data")
        assert cache.get("facts", "a") is None
    assert cache.errors == []


def test_keys() -> None:
    assert make_key("ab", "c") != make_key("a", "bc")
    assert make_key("a") == make_key("a")
    assert make_key("gr\udcf6sse") != make_key("grosse")


def test_stamp_follows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "stamped"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "table.json").write_text("{}")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_stamp(["stamped"])
    assert code_stamp(["stamped"]) == before
    (package / "inner" / "table.json").write_text("[]")
    assert code_stamp(["stamped"]) != before


def test_default_place(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "models"
    inner.mkdir(parents=True)
    assert default_folder(inner) == inner / ".vllm_lint_cache"
    (tmp_path / "repository" / ".git").mkdir()
    assert default_folder(inner) == tmp_path / "repository" / ".vllm_lint_cache"
    assert default_folder(inner, tmp_path / "pyproject.toml") == tmp_path / ".vllm_lint_cache"


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_file_that_is_no_database(folder: Path, content: bytes) -> None:
    put(folder, "a")
    database(folder).write_bytes(content)
    expected = ["the cache was damaged, and a new one was begun"] if content else []
    assert put(folder, "b") == expected
    assert get(folder, "a") is None
    assert get(folder, "b") == b"data"


def test_damage_in_the_middle(folder: Path) -> None:
    put(folder, *map(str, range(500)), data=b"x" * 500)
    path = database(folder)
    content = bytearray(path.read_bytes())
    content[8192:-8192] = os.urandom(len(content) - 16384)
    path.write_bytes(content)
    with closing(Cache(folder)) as cache:
        assert {cache.get("facts", str(key)) for key in range(500)} <= {b"x" * 500, None}
    assert [error.message for error in cache.errors] == ["the cache was damaged, and a new one was begun"]
    assert put(folder, "a") == []
    assert get(folder, "a") == b"data"


def test_damaged_entry_is_missed(folder: Path) -> None:
    put(folder, "a", "b")
    with closing(sqlite3.connect(database(folder))) as connection, connection:
        connection.execute("UPDATE entries SET data = ? WHERE key = 'a'", (b"dada",))
        connection.execute("UPDATE entries SET data = 7 WHERE key = 'b'")
    assert get(folder, "a") is None
    assert get(folder, "b") is None


def test_place_taken_by_a_file(folder: Path) -> None:
    folder.write_text("")
    assert put(folder, "a") == ["going on without a cache: file exists"]


def test_database_of_somebody_else(folder: Path) -> None:
    put(folder)
    with closing(sqlite3.connect(database(folder))) as connection, connection:
        connection.execute("DROP TABLE entries")
        connection.execute("CREATE TABLE entries (other TEXT)")
    [message] = put(folder, "a")
    assert message.startswith("going on without a cache: ")


def test_read_only_folder(closed_to_us: Path) -> None:
    folder = closed_to_us / "cache"
    closed_to_us.chmod(0o500)
    assert put(folder, "a") == ["going on without a cache: permission denied"]
    closed_to_us.chmod(0o700)
    put(folder, "a")
    database(folder).chmod(0o400)
    folder.chmod(0o500)
    assert get(folder, "a") == b"data"
    [message] = put(folder, "b")
    assert message == "going on without a cache: attempt to write a readonly database"
    folder.chmod(0o700)


def test_full_disk(folder: Path) -> None:
    put(folder, "a")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (database(folder).stat().st_size + 4096, limit[1]))
    try:
        [message] = put(folder, "b", data=b"x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert message.startswith("going on without a cache: ")
    assert get(folder, "a") == b"data"
    assert get(folder, "b") is None


WRITER = """
import sys
from contextlib import closing
from pathlib import Path
from vllm_lint.analyzer.cache import Cache
for turn in range(20):
    with closing(Cache(Path(sys.argv[1]))) as cache:
        cache.put("facts", "shared", b"data")
        cache.put("facts", f"{sys.argv[2]} {turn}", b"data")
        assert all(cache.get("facts", f"{sys.argv[2]} {past}") for past in range(turn))
    assert not cache.errors, cache.errors
"""


def test_runs_at_once(folder: Path) -> None:
    runs = [subprocess.Popen([sys.executable, "-c", WRITER, folder, str(name)]) for name in range(3)]
    assert [run.wait(timeout=60) for run in runs] == [0, 0, 0]
    for key in [f"{name} {turn}" for name in range(3) for turn in range(20)]:
        assert get(folder, key) == b"data"


def test_run_that_never_lets_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, "a")
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(database(folder), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert get(folder, "a") == b"data"
        assert put(folder, "b") == ["going on without a cache: database is locked"]


KILLED = """
import os, signal, sys
from pathlib import Path
from vllm_lint.analyzer.cache import Cache
cache = Cache(Path(sys.argv[1]))
cache._connection.execute("PRAGMA cache_size = 1")  # so that pages reach the disk before the commit
cache._connection.execute("BEGIN IMMEDIATE")
for key in range(1000):
    cache._connection.execute("INSERT OR REPLACE INTO entries VALUES ('facts', ?, ?, 0, 0)", (str(key), b"x" * 3000))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_while_writing(folder: Path) -> None:
    put(folder, "1")
    size = database(folder).stat().st_size
    assert subprocess.run([sys.executable, "-c", KILLED, folder], check=False).returncode == -signal.SIGKILL
    assert database(folder).stat().st_size > size
    assert get(folder, "1") == b"data"
    assert get(folder, "2") is None


def test_entries_nobody_asks_for_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    put(folder, "asked", "unasked")
    monkeypatch.setattr(time, "time", lambda: now + 20 * 86400)
    assert get(folder, "asked") == b"data"
    monkeypatch.setattr(time, "time", lambda: now + 40 * 86400)
    put(folder, "new")
    assert get(folder, "asked") == b"data"
    assert get(folder, "unasked") is None


def test_clean(folder: Path) -> None:
    assert not clean(folder)
    put(folder, "a")
    assert clean(folder)
    assert not folder.exists()
    put(folder, "a")
    (folder / "mine.txt").write_text("keep")
    assert clean(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert not clean(folder)
