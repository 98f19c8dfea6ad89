"""Reads the log files of torch's structured trace: a header line with one JSON object, then its payload.

`V1123 16:45:33.562000 610 torch/_dynamo/output_graph.py:2423] {"dynamo_output_graph": {...}, "rank": 0}` is a header;
the lines of its payload follow, each behind one tab. Source: torch/_logging/_internal.py, TorchLogsFormatter.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import msgspec

#: How a log's name ends.
SUFFIXES = (".log", ".log.gz", ".log.xz")

# A log that was taken from stderr has the rank in front.
_HEADER = re.compile(rb"(?:\[rank\d+\]:)?[VDIWEC]\d{4} \d\d:\d\d:\d\d\.\d+ (\d+) [^\]]*\] (\{.*)")
#: Events that are many and large, and say nothing about guards and breaks: their JSON is not even read.
_IGNORED = re.compile(
    rb'\{"(?:chromium_event|describe_storage|graph_dump|aot_\w+|inductor_\w+|compilation_metrics_runtime|dynamo_guards)"'
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class NoLogs(ValueError):
    """There is no such folder, or no log in it."""


@dataclass(frozen=True)
class Record:
    """One event. `process` is the id of the process that wrote it."""

    process: int
    metadata: dict[str, Any]
    payload: str = ""


@dataclass
class TraceLog:
    """One file. When `records` is through, `problem` says what kept some of it from being read."""

    path: Path
    unreadable: int = field(default=0, init=False)
    """Header lines whose JSON is broken."""
    problem: str = field(default="", init=False)

    def records(self) -> Iterator[Record]:
        """The events in the order of the file; damaged ones are left out, and other output between them is skipped."""
        head: tuple[int, dict[str, Any]] | None = None
        payload: list[bytes] = []
        for line in self._lines():
            if line.startswith(b"\t"):
                if head is not None:
                    payload.append(line[1:])
            elif header := _HEADER.match(line):
                if head is not None:
                    yield _record(head, payload)
                head, payload = None, []
                if not _IGNORED.match(header[2]):
                    try:
                        head = int(header[1]), _decode(header[2])
                    except (msgspec.DecodeError, UnicodeDecodeError):
                        self.unreadable += 1
        if head is not None:
            yield _record(head, payload)

    def _lines(self) -> Iterator[bytes]:
        try:
            with open_log(self.path) as file:
                yield from file
        except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile):
            self.problem = "the compressed log is damaged: what comes before the damage was read"
        except OSError as error:
            self.problem = f"cannot read the log: {error.strerror or error}"


def find_logs(place: Path) -> tuple[TraceLog, ...]:
    """The logs in a folder and those below it, by name; or the one file that `place` is.

    Raises:
        NoLogs: there is none.
    """
    if place.is_file():
        return (TraceLog(place),)
    if not place.is_dir():
        raise NoLogs(f"no such folder: {place}")
    found = [Path(root, name) for root, _, names in os.walk(place) for name in names if name.endswith(SUFFIXES)]
    if not found:
        raise NoLogs(f"no log in {place}: a file there would end in {', '.join(SUFFIXES)}")
    return tuple(TraceLog(path) for path in sorted(found))


def open_log(path: Path) -> IO[bytes]:
    """The text of a log, whether compressed or not; told by content, as a log may have been renamed on its way here."""
    with path.open("rb") as file:
        start = file.read(6)
    if start == b"\xfd7zXZ\x00":
        return lzma.open(path)
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(path))
    return path.open("rb")


def _record(head: tuple[int, dict[str, Any]], payload: list[bytes]) -> Record:
    return Record(*head, b"".join(payload).decode("utf-8", "replace"))
