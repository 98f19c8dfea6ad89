"""The reader takes what it can from any file, and never fails over its content."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trace import logs
from vllm_lint.runtime_verifier.trace.evidence import TraceEvidence
from vllm_lint.runtime_verifier.trace.log import NoLogs, Record, TraceLog, find_logs

WHOLE = lzma.decompress((logs.DATA / "cpu-graph-breaks.log.xz").read_bytes())
PACKED = (logs.DATA / "cpu-graph-breaks.log.xz").read_bytes()


def records(data: bytes, folder: Path, name: str = "x.log") -> tuple[list[Record], TraceLog]:
    path = folder / name
    path.write_bytes(data)
    log = TraceLog(path)
    return list(log.records()), log


def test_a_record_has_its_process_and_payload(tmp_path: Path) -> None:
    text = logs.line({"artifact": {"name": "x"}}, "one\n\ttwo", process=31) + logs.line({"y": 1})
    found, log = records(text.encode(), tmp_path)
    assert found == [
        Record(31, {"artifact": {"name": "x"}, "has_payload": "0" * 32}, "one\n\ttwo\n"),
        Record(7, {"y": 1}),
    ]
    assert (log.problem, log.unreadable) == ("", 0)


def test_other_output_is_skipped_and_broken_json_counted(tmp_path: Path) -> None:
    good = logs.line({"y": 1}, "payload")
    text = f"INFO hello\n{good}W0125 13:45:01.1 7 x.py:1] not json\nV0125 13:45:01.1 7 x.py:1] {{broken\n\tlost\n{good}"
    found, log = records(text.encode() + b"\xff\xfe\x00\n", tmp_path)
    assert [record.payload for record in found] == ["payload\n", "payload\n"]
    assert log.unreadable == 1


def test_a_log_from_stderr_has_the_rank_in_front(tmp_path: Path) -> None:
    found, _ = records(b"[rank3]:" + logs.line({"y": 1}).encode(), tmp_path)
    assert [record.metadata for record in found] == [{"y": 1}]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_compressed_logs_are_known_by_content(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    expected, _ = records(WHOLE, tmp_path)
    assert records(pack(WHOLE), tmp_path, "renamed")[0] == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.integers(0, len(WHOLE)))
def test_a_log_cut_at_any_byte_gives_what_is_before_the_cut(tmp_path: Path, cut: int) -> None:
    expected, _ = records(WHOLE, tmp_path)
    found, _ = records(WHOLE[:cut], tmp_path)
    assert found[:-1] == expected[: max(len(found) - 1, 0)]
    evidence = TraceEvidence()
    for record in found:
        evidence.add(record.metadata, record.payload)
    assert not evidence.not_understood


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(st.integers(6, len(PACKED) - 1))
def test_a_compressed_log_cut_at_any_byte_is_told(tmp_path: Path, cut: int) -> None:
    expected, _ = records(WHOLE, tmp_path)
    found, log = records(PACKED[:cut], tmp_path)
    assert found[:-1] == expected[: max(len(found) - 1, 0)]
    assert "damaged" in log.problem


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.binary(max_size=30)), max_size=6))
def test_foreign_bytes_anywhere_are_survived(tmp_path: Path, foreign: list[tuple[int, bytes]]) -> None:
    data = WHOLE
    for at, text in foreign:
        data = data[:at] + text + data[at:]
    evidence = TraceEvidence()
    for record in records(data, tmp_path)[0]:
        evidence.add(record.metadata, record.payload)


def test_logs_are_found_in_folders_below(tmp_path: Path) -> None:
    for name in ("b.log", "rank/a.log.gz", "rank/c.log.xz", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [log.path.name for log in find_logs(tmp_path)] == ["b.log", "a.log.gz", "c.log.xz"]
    assert [log.path.name for log in find_logs(tmp_path / "notes.txt")] == ["notes.txt"]


def test_a_folder_without_logs_says_what_one_is_called(tmp_path: Path) -> None:
    with pytest.raises(NoLogs, match=r"no log in .*\.log, \.log\.gz, \.log\.xz"):
        find_logs(tmp_path)
    with pytest.raises(NoLogs, match="no such folder"):
        find_logs(tmp_path / "gone")
