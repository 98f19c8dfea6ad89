"""What the examination of a file asks about the rest of the program, and the answers of today.

Facts hold as long as each question that was asked gets the same answer. Questions and answers are text, so that they
can be kept:

    module NAME            the file of a module and the digest of its bytes; empty for a library
    text PATH              the name of the module in a file and the digest of its bytes
    checked PATH           whether the file is one of those to check
    subclasses PATH NAME   the classes that may derive from class NAME of a file
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from vllm_lint.analyzer.project import Project

Headers = tuple[tuple[str, str], ...]
"""For each base that a class of a file names: the base and the class."""

_CLASS_HEADER = re.compile(r"^[ \t]*class[ \t]+(\w+)[ \t]*\(([^)]*)\)", re.MULTILINE)
#: A file may change again, unseen, within one tick of the clock of its file system; that of FAT is the slowest.
_TICK_NS = 2_000_000_000


class _Known(msgspec.Struct, array_like=True):
    """What a file was found to hold, and what it looked like then."""

    identity: tuple[int, int, int, int]
    digest: str
    headers: Headers | None = None


class Disk:
    """Digests and class headers of files. What a file holds is read again only if the file looks touched.

    A file that was just written is not trusted to look different after the next write, so it is read again.
    """

    def __init__(self, table: bytes | None = None) -> None:
        """`table` is what another Disk packed; what cannot be read there is forgotten."""
        self._known: dict[str, _Known] = {}
        self._checked: set[str] = set()
        self.is_changed = False
        """Whether there is something that the table did not hold."""
        if table is not None:
            try:
                self._known = msgspec.msgpack.decode(table, type=dict[str, _Known])
            except msgspec.DecodeError:
                self.is_changed = True

    def packed(self) -> bytes:
        """The table of the files asked about, for another Disk."""
        return msgspec.msgpack.encode({path: self._known[path] for path in self._checked if path in self._known})

    def digest(self, path: str) -> str:
        """Names the bytes at `path`; starts with "!" and says why if they cannot be read."""
        known = self._look(path)
        return known if isinstance(known, str) else known.digest

    def headers(self, path: str) -> Headers:
        """Classes of a file by the bases that they name; none if it cannot be read."""
        known = self._look(path)
        if isinstance(known, str):
            return ()
        if known.headers is None:
            try:
                known.headers = class_headers(read_regular(path).decode(errors="replace"))
            except OSError:
                return ()
            self.is_changed = True
        return known.headers

    def _look(self, path: str) -> _Known | str:
        known = self._known.get(path)
        if known is not None and path in self._checked:
            return known
        now = time.time_ns()
        try:
            info = os.stat(path)
            identity = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
            if known is None or known.identity != identity:
                data = read_regular(path)
                settled = max(info.st_mtime_ns, info.st_ctime_ns) < now - _TICK_NS
                digest = digest_of(data)
                headers = known.headers if known is not None and known.digest == digest else None
                known = _Known(identity if settled else (-1, 0, 0, 0), digest, headers)
                self._known[path] = known
                self.is_changed = True
        except OSError as error:
            return f"!{error.errno}"
        self._checked.add(path)
        return known


def digest_of(data: bytes) -> str:
    """Names `data`."""
    return blake2b(data, digest_size=16).hexdigest()


def read_regular(path: str) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: it cannot be read, or reading it could wait for ever.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    with open(path, "rb") as file:
        return file.read()


def class_headers(text: str) -> Headers:
    """The classes in `text` by the bases that they name, by text alone: parsing every file would cost seconds."""
    return tuple(
        (name, match.group(1))
        for match in _CLASS_HEADER.finditer(text)
        for base in match.group(2).split(",")
        if (name := base.partition("[")[0].strip().rpartition(".")[2])
    )


def python_files(top: str) -> Iterator[str]:
    """The Python files below `top` in a fixed order, or `top` itself if it is a file."""
    if not os.path.isdir(top):
        yield top
        return
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                yield os.path.join(folder, name)


def digest_of_answers(answers: Iterable[str]) -> str:
    """Names a list of answers."""
    return digest_of("\0".join(answers).encode(errors="surrogateescape"))


class Answers:
    """Answers of today, each worked out once."""

    def __init__(self, project: Project, disk: Disk, base: Path) -> None:
        self._project = project
        self._disk = disk
        self._base = base
        self._known: dict[str, str] = {}

    def digest(self, questions: Iterable[str]) -> str:
        """Names the answers to `questions`."""
        known = self._known
        return digest_of_answers([known[q] if q in known else self._answer(q) for q in questions])

    def _answer(self, question: str) -> str:
        kind, _, subject = question.partition(" ")
        answer = getattr(self, f"_{kind}")(subject)
        assert isinstance(answer, str)
        self._known[question] = answer
        return answer

    def _module(self, name: str) -> str:
        path = self._project.find(name)
        return "" if path is None else module_answer(self._project.display(path), self._disk.digest(str(path)))

    def _text(self, name: str) -> str:
        path = self._base / name
        return text_answer(self._project.module_name(path), self._disk.digest(str(path)))

    def _checked(self, name: str) -> str:
        return self._project.checked_answer(self._base / name)

    def _subclasses(self, subject: str) -> str:
        path, _, name = subject.rpartition(" ")
        return self._project.subclasses_answer(self._base / path, name)


def module_answer(path: str, digest: str) -> str:
    """The answer to the question for a module that there is."""
    return f"{path} {digest}"


def text_answer(module: str, digest: str) -> str:
    """The answer to the question for a text."""
    return f"{module} {digest}"
