"""A job is compared with another one, or with its own source before a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import Changed, NotCompared, Result
from vllm_lint.runtime_verifier.pool import Pool

pytestmark = pytest.mark.torch
SIZES = (1, 2, 127)
SOURCE = """
import torch
from torch import nn

from .parts import twice


class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, x: torch.Tensor):
        return twice(x)
"""
PARTS = """
import torch

def twice(x):
    return x * 2
"""


def changed(folder: Path, pool: Pool, old: str, new: str, file: str = "model.py") -> Result:
    """What comes of the model when one of its two files is changed, compared with what it was."""
    package = folder / "own"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, text in (("model.py", SOURCE), ("parts.py", PARTS)):
        (package / name).write_text(text)
    text = (package / file).read_text()
    assert old in text
    copy = folder / f"copy_of_{file}"
    copy.write_text(text.replace(old, new))
    before = Job(path=str(package / "model.py"), target="M", sizes=SIZES, trace_size=64)
    overlay = {str(package / file): str(copy)}
    after = Job(
        path=before.path, target="M", sizes=SIZES, trace_size=64, overlay=overlay, reference=before, standins=True
    )
    return pool.run(after)


@pytest.mark.parametrize("file", ["model.py", "parts.py"])
def test_a_copy_that_does_the_same_is_clean(tmp_path: Path, pool: Pool, file: str) -> None:
    result = changed(tmp_path, pool, "import torch\n", "import torch  # the same\n", file)
    assert result.outcomes == ()
    (part,) = result.parts
    assert part.compared == (1, 2, 64, 127)
    assert part.place is not None and part.place.path.endswith("copy_of_model.py" if file == "model.py" else "model.py")


@pytest.mark.parametrize(
    ("old", "new", "aspects"),
    [
        ("return twice(x)", "return twice(x) + 1", ["output"]),
        ("return twice(x)", "return twice(x.double())", ["output"]),
        ("return twice(x)", "return twice(x).t().contiguous().t()", ["layout"]),
        ("return twice(x)", "return x.mul_(2)", ["inputs"]),
        ("return twice(x)", "self.seen += 1; return twice(x)", ["state"]),
        ("return twice(x)", "raise ValueError('no')", ["output"]),
        ("return twice(x)", "return twice(x) + (x.shape[0] == 1)", ["output"]),
    ],
)
def test_what_a_copy_does_otherwise_is_told(tmp_path: Path, pool: Pool, old: str, new: str, aspects: list[str]) -> None:
    result = changed(tmp_path, pool, old, new)
    assert [o.aspect for o in result.outcomes if isinstance(o, Changed)] == aspects


def test_the_sizes_of_a_difference_are_named(tmp_path: Path, pool: Pool) -> None:
    result = changed(tmp_path, pool, "return twice(x)", "return twice(x) + (x.shape[0] == 2)")
    (difference,) = (o for o in result.outcomes if isinstance(o, Changed))
    assert difference.sizes == (2,)


def test_where_the_original_cannot_be_built_there_is_nothing_to_compare_with(tmp_path: Path, pool: Pool) -> None:
    for name in ("good.py", "bad.py"):
        (tmp_path / name).write_text(SOURCE.replace("from .parts import twice", "twice = torch.relu"))
    (tmp_path / "bad.py").write_text("import nothing_of_that_name\n")
    bad = Job(path=str(tmp_path / "bad.py"), target="M")
    result = pool.run(Job(path=str(tmp_path / "good.py"), target="M", sizes=SIZES, reference=bad))
    (outcome,) = result.outcomes
    assert isinstance(outcome, NotCompared)
    assert "nothing_of_that_name" in outcome.message


def test_where_the_original_raises_everywhere_nothing_is_compared(tmp_path: Path, pool: Pool) -> None:
    result = changed(tmp_path, pool, "return twice(x)", "return twice(x)  # as before")
    assert result.clean
    (tmp_path / "raises.py").write_text(SOURCE.replace("from .parts import twice", "def twice(x): raise ValueError"))
    (tmp_path / "good.py").write_text(SOURCE.replace("from .parts import twice", "twice = torch.relu"))
    raises = Job(path=str(tmp_path / "raises.py"), target="M")
    (part,) = pool.run(Job(path=str(tmp_path / "good.py"), target="M", sizes=SIZES, reference=raises)).parts
    assert part.compared == ()
