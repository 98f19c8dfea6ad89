"""Keeps what was worked out about a text, so that the next run need not work it out again.

Keys say everything that a value depends on, so an entry is never stale and needs no check against the file system.
"""

from __future__ import annotations

import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from vllm_lint.analyzer.findings import ToolError

_T = TypeVar("_T")

FOLDER_NAME = ".vllm_lint_cache"

_KEEP_DAYS = 30
_BUSY_SECONDS = 5.0
_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# vllm-lint keeps what it worked out about files here. It is safe to delete.
# For information about cache directory tags see https://bford.info/cachedir/
"""
# The number is that of the layout: change it with the table, so that old and new versions keep apart.
_DATABASE = "entries-1.sqlite"
_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    data BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    day INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
)
"""


def default_folder(base: Path, configuration: Path | None = None) -> Path:
    """Where the cache lies by default: beside the configuration file, in the repository that holds `base`, or in it."""
    if configuration is not None:
        return configuration.parent / FOLDER_NAME
    root = next((folder for folder in (base, *base.parents) if (folder / ".git").exists()), base)
    return root / FOLDER_NAME


def code_stamp(packages: Iterable[str]) -> str:
    """Names the code in `packages`, subpackages included, and the Python that runs it.

    This costs 3 ms where the version of the distribution would cost 30, and an edit during development changes it.
    """
    digest = blake2b(repr(sys.version_info[:3]).encode(), digest_size=16)
    for package in packages:
        for folder in import_module(package).__path__:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    digest.update(str(path.relative_to(folder)).encode())
                    digest.update(path.read_bytes())
    return digest.hexdigest()


def make_key(*parts: str) -> str:
    """A key that depends on each of `parts`."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode(errors="surrogateescape")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def clean(folder: Path) -> bool:
    """Delete a cache and say whether there was one; files of others in `folder` stay.

    Raises:
        OSError: something cannot be deleted.
    """
    ours = [folder / "CACHEDIR.TAG", folder / ".gitignore", *folder.glob("entries-*.sqlite*")]
    found = [path for path in ours if path.is_file()]
    for path in found:
        path.unlink(missing_ok=True)
    if found and not any(folder.iterdir()):
        folder.rmdir()
    return bool(found)


class Cache:
    """A store in `folder`, or one that forgets everything if that is None or cannot be used.

    Entries put are written together by `close`: use it as `with closing(Cache(folder)) as cache`. Several processes
    may use one folder at once, each with a Cache of its own. Trouble with the store never raises: `errors` says what
    it was, once.
    """

    def __init__(self, folder: Path | None) -> None:
        self.errors: list[ToolError] = []
        self._folder = folder
        self._new: dict[tuple[str, str], bytes] = {}
        self._seen: list[tuple[int, str, str]] = []
        self._today = int(time.time() // 86400)
        self._connection: sqlite3.Connection | None = None
        if folder is not None:
            self._guarded(folder, self._open)

    @property
    def is_open(self) -> bool:
        """Whether there is a store, which may come to an end at any time."""
        return self._connection is not None

    def get(self, kind: str, key: str) -> bytes | None:
        """What was put for `key`; None if there is nothing, or it was damaged."""
        new = self._new.get((kind, key))
        if new is not None or self._connection is None or self._folder is None:
            return new
        row = self._guarded(self._folder, lambda: self._select(kind, key))
        if row is None or not isinstance(row[0], bytes) or zlib.crc32(row[0]) != row[1]:
            return None
        if row[2] != self._today:
            self._seen.append((self._today, kind, key))
        return row[0]

    def put(self, kind: str, key: str, data: bytes) -> None:
        """Keep `data` for `key`, from `close` on also for other runs."""
        if self._connection is not None:
            self._new[kind, key] = data

    def close(self) -> None:
        """Write what was put, forget entries that no run asked for in 30 days, and let go of the store."""
        if self._folder is not None and self._connection is not None and (self._new or self._seen):
            self._guarded(self._folder, self._write)
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _guarded(self, folder: Path, action: Callable[[], _T]) -> _T | None:
        """Do `action`; if the store is damaged start a new one, and if it is unusable go on without."""
        try:
            return action()
        except (OSError, sqlite3.OperationalError) as error:  # no room, no permission, locked for long
            self._give_up(folder, error)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # the subclasses are our own mistakes
                raise
            self._disconnect()
            try:
                for path in folder.glob(f"{_DATABASE}*"):
                    path.unlink(missing_ok=True)
                self._open()
                self.errors.append(ToolError("the cache was damaged, and a new one was begun", path=str(folder)))
            except (OSError, sqlite3.Error) as error:
                self._give_up(folder, error)
        return None

    def _give_up(self, folder: Path, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        self._disconnect()
        self.errors.append(ToolError(f"going on without a cache: {str(reason).lower()}", path=str(folder)))

    def _open(self) -> None:
        assert self._folder is not None
        database = self._folder / _DATABASE
        if not database.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / "CACHEDIR.TAG").write_text(_TAG)
            (self._folder / ".gitignore").write_text("*\n")
        self._connection = sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None)
        self._connection.execute(_TABLE)

    def _select(self, kind: str, key: str) -> tuple[object, int, int] | None:
        assert self._connection is not None
        query = "SELECT data, checksum, day FROM entries WHERE kind = ? AND key = ?"
        row: tuple[object, int, int] | None = self._connection.execute(query, (kind, key)).fetchone()
        return row

    def _write(self) -> None:
        assert self._connection is not None
        entries = [(kind, key, data, zlib.crc32(data), self._today) for (kind, key), data in self._new.items()]
        with self._connection:  # commits, or rolls back if something raises
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", entries)
            self._connection.executemany("UPDATE entries SET day = ? WHERE kind = ? AND key = ?", self._seen)
            self._connection.execute("DELETE FROM entries WHERE day < ?", (self._today - _KEEP_DAYS,))
