"""The check of a pinned release against the findings that are committed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.accuracy.ecosystem import RECORD, difference, run

MODEL = """\
import torch
from vllm.compilation.decorators import support_torch_compile


@support_torch_compile
class Model(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        {}
        return x
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    package = tmp_path / "vllm"
    package.mkdir()
    package.joinpath("model.py").write_text(MODEL.format("print(x.shape)"), encoding="utf-8")
    return tmp_path


def test_the_record_of_a_source_agrees_with_it(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = base / "record.json"
    assert run(base, record, update=True) == 0
    assert "new  VL103 vllm/model.py:8 error" in capsys.readouterr().out
    assert run(base, record) == 0
    assert "0 new, 0 gone of 1 findings" in capsys.readouterr().out


def test_a_difference_fails_and_names_the_place(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = base / "record.json"
    run(base, record, update=True)
    text = record.read_text(encoding="utf-8").replace("model.py:8", "model.py:9")
    record.write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert run(base, record) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        "new  VL103 vllm/model.py:8 error",
        "gone VL103 vllm/model.py:9 error",
    ]


def test_another_source_is_refused(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = base / "record.json"
    run(base, record, update=True)
    base.joinpath("vllm", "model.py").write_text(MODEL.format("pass"), encoding="utf-8")
    assert run(base, record) == 2
    assert "is not the source that record.json was recorded from" in capsys.readouterr().err


def test_a_folder_without_the_package_is_refused(tmp_path: Path) -> None:
    assert run(tmp_path, tmp_path / "record.json") == 2


def test_a_second_finding_on_a_line_is_a_difference() -> None:
    assert difference({"VL201": ["a.py:1 error"]}, {"VL201": ["a.py:1 error"] * 2}) == {"VL201": ["a.py:1 error"]}


@pytest.mark.slow
@pytest.mark.vllm
def test_the_installed_release_has_the_recorded_findings(capsys: pytest.CaptureFixture[str]) -> None:
    spec = find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    status = run(Path(spec.origin).parent.parent, RECORD, jobs=1)  # one process: others run tests
    said = capsys.readouterr()
    assert status == 0, f"{said.err}{said.out}if that is meant: python -m benchmarks.accuracy.ecosystem --update"
