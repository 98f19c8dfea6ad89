"""The table of what TorchDynamo cannot trace: every name has its rule, and the rule names the break that it causes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tests.rules.samples import codes, found
from vllm_lint.analyzer.events import LibraryCall
from vllm_lint.analyzer.findings import Severity, Span
from vllm_lint.analyzer.untraceable import BY_NAME, BY_USE, Kind, breaks_when_called, kind_of
from vllm_lint.rules.catalogue import RULES

NAMES = [(name, number) for kinds in (BY_NAME, BY_USE) for names in kinds.values() for name, number in names.items()]


@pytest.mark.parametrize(("name", "number"), NAMES, ids=[name for name, _ in NAMES])
def test_one_rule_reports_a_name_and_lists_its_break(name: str, number: str) -> None:
    called = f"{name}something" if name.endswith(".") else name
    event = LibraryCall(span=Span("model.py", 1, 1, 1, 2), text="f()", name=called, tensor=True)
    reporting = [rule for rule in RULES if LibraryCall in rule.events and list(rule().check(event))]
    assert len(reporting) == 1
    assert number in reporting[0].meta.graph_breaks


def test_tables_hold_every_kind_and_no_name_twice() -> None:
    assert {*BY_NAME, *BY_USE} == set(get_args(Kind))
    assert len({name for name, _ in NAMES}) == len(NAMES)


def test_a_package_stands_for_what_is_in_it_and_no_more() -> None:
    assert kind_of("time.time") == "call"
    assert kind_of("timeit.timeit") is None
    assert kind_of("torch.cuda.nvtx.range_push") == "cuda"
    assert kind_of("torch.cuda.current_stream") is None
    assert breaks_when_called("subprocess.run")
    assert not breaks_when_called("builtins.str")
    assert not breaks_when_called("torch.Tensor.resize_")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("torch.cuda.nvtx.range_push('layer')\nreturn x", "VL109"),
        ("torch.cuda.set_device(0)\nreturn x", "VL109"),
        ("graph = torch.cuda.CUDAGraph()\nreturn x", "VL109"),
        ("return x * Settings(scale=2).scale", "VL108"),
        ("return x * Options(scale=2)['scale']", "VL108"),
        ("torch.distributed.all_gather_object([], 3)\nreturn x", "VL105"),
    ],
)
def test_what_no_fixture_can_show_is_reported(tmp_path: Path, body: str, expected: str) -> None:
    before = """
    import typing
    from pydantic import BaseModel
    class Settings(BaseModel):
        scale: int = 1
    class Options(typing.TypedDict, total=False):
        scale: int
    """
    assert expected in codes(found(tmp_path, body, before=before))


@pytest.mark.parametrize(
    "body",
    [
        "event = torch.cuda.Event()\nevent.record()\nreturn x",
        "with torch.cuda.stream(torch.cuda.Stream()):\n    return x * 2",
        "return x * torch.cuda.get_device_properties(0).multi_processor_count",
    ],
)
def test_what_a_gpu_was_seen_to_capture_breaks_nothing(tmp_path: Path, body: str) -> None:
    assert not [code for code in codes(found(tmp_path, body)) if code.startswith("VL1")]


def test_a_handler_around_an_operation_is_a_warning(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, "try:\n    return x * 2\nexcept RuntimeError:\n    return x")
    assert (finding.code, finding.severity) == ("VL112", Severity.WARNING)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("name = tempfile.gettempdir()\nreturn x", []),
        ("tempfile.mkdtemp()\nreturn x", ["VL105"]),
        ("encoder = json.JSONEncoder()\nreturn x", []),
        ("level = logging.getLevelName(20)\nreturn x", []),
    ],
)
def test_members_of_a_package_that_are_traced_break_nothing(tmp_path: Path, body: str, expected: list[str]) -> None:
    assert codes(found(tmp_path, body, before="import json, tempfile\n")) == expected
