"""What files share is worked out once, and still each file is told what it would be told if it were the only one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.questions import Disk
from vllm_lint.analyzer.sharing import Shared
from vllm_lint.analyzer.worker import Worker
from vllm_lint.rules.catalogue import RULES

SHARED = """\
from torch import nn

class Config:
    def __init__(self, size=8):
        self.size = size
        self.names = []
        self.by_name = {}

class Plain:
    size = 8

CONFIG = Config()
NAMES = []
PLAIN = Plain()

def wrapped(function):
    calls = []
    def inner(*args):
        calls.append(1)
        return function(*args)
    return inner

@wrapped
def limit(config):
    return config.size

def grow(config):
    config.size = 32
    config.names.append("more")
    return config

def even(n):
    return True if n == 0 else odd(n - 1)

def odd(n):
    return False if n == 0 else even(n - 1)

class Norm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        config.size = 16

class Helper:
    def __init__(self, parent):
        self.parent = parent
        self.size = parent.size
        parent.size = 64

class Parent(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size
        self.helper = Helper(self)

class Left:
    def __init__(self):
        self.other = Right()
        self.size = self.other.size

class Right:
    def __init__(self):
        self.size = 8
        self.other = Left()
        self.depth = self.other.size
"""

#: What a constructor may do, and what then can be asked of the model.
SETUPS = (
    "self.part = CONFIG",
    "self.part = Config()",
    "self.part = Config(8)",
    "self.part = Norm(Config()).config",
    "self.part = Norm(CONFIG).config",
    "self.part = Parent(8)",
    "self.part = Parent(8).helper",
    "self.part = Left()",
    "self.part = Right()",
    "self.part = grow(Config())",
    "self.part = grow(CONFIG)",
    "self.part = Config(); self.part.size = 4",
    "self.part = CONFIG; CONFIG.names.append(1)",
    "self.part = CONFIG; CONFIG.by_name['a'] = self",
    "self.part = PLAIN; setattr(PLAIN, 'size', 2)",
    "self.part = CONFIG; NAMES.append(1)",
)
ASKED = (
    "self.part.size == 8",
    "CONFIG.size == 8",
    "self.part.size > 20",
    "limit(self.part) == 8",
    "CONFIG.names",
    "'a' in CONFIG.by_name",
    "NAMES",
    "PLAIN.size == 8",
    "even(self.part.size)",
    "grow(CONFIG).size == 8",
)
MODEL = """\
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile
from shared import *

@support_torch_compile
class Model{number}(nn.Module):
    def __init__(self):
        super().__init__()
        {setup}

    def forward(self, x: torch.Tensor):
        if {asked}:
            return x if x.shape[0] > 64 else -x
        return x if x.shape[0] > 128 else -x
"""

Model = tuple[str, str]


@pytest.fixture(scope="module", autouse=True)
def deep() -> None:
    """A worker raises the recursion limit for good, which hypothesis does not want to see happen within a test."""
    Worker(Settings(paths=()), RULES, (), Project((), (), search_installed=False, base=Path(), disk=Disk()))


def workers_facts(folder: Path, order: Sequence[str]) -> dict[str, object]:
    """By file what one worker finds that examines the files in this order."""
    files = sorted(folder.glob("*.py"))
    where = Settings(paths=tuple(files), base=folder, search_installed=False)
    worker = Worker(where, RULES, files, Project(files, (), search_installed=False, base=folder, disk=Disk()))
    worker.read([(path, None) for path in files])
    found = worker.examine([folder / name for name in order])
    for facts in found:
        facts.findings.sort(key=lambda f: f.sort_key)
    return {
        facts.path: msgspec.to_builtins({**msgspec.structs.asdict(facts), "reached": sorted(facts.reached)})
        for facts in found
    }


def build(folder: Path, models: Sequence[Model]) -> list[str]:
    (folder / "shared.py").write_text(SHARED)
    names = ["shared.py"]
    for number, (setup, asked) in enumerate(models):
        names.append(f"model{number}.py")
        (folder / names[-1]).write_text(MODEL.format(number=number, setup=setup, asked=asked))
    return names


@settings(max_examples=60)
@given(
    models=st.lists(st.tuples(st.sampled_from(SETUPS), st.sampled_from(ASKED)), min_size=2, max_size=5),
    data=st.data(),
)
def test_files_in_any_order_are_told_what_each_is_told_alone(models: list[Model], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        names = build(folder, models)
        order = data.draw(st.permutations(names))
        alone = {k: v for n in names for k, v in workers_facts(folder, [n]).items()}
        assert workers_facts(folder, order) == alone


@pytest.mark.parametrize("asked", ASKED)
def test_all_setups_before_and_after_each_other(tmp_path: Path, asked: str) -> None:
    names = build(tmp_path, [(setup, asked) for setup in SETUPS])
    forward = workers_facts(tmp_path, names)
    assert workers_facts(tmp_path, names[::-1]) == forward
    assert any("'VL201'" in str(facts) for facts in forward.values())


@pytest.mark.parametrize("jobs", [2, 3])
def test_processes_share_nothing_that_matters(tmp_path: Path, jobs: int) -> None:
    build(tmp_path, [(setup, asked) for setup in SETUPS for asked in ASKED[:3]])
    where = Settings(paths=(tmp_path,), base=tmp_path, search_installed=False, jobs=1)
    alone = check(where, RULES)
    assert len(alone.roots) == 3 * len(SETUPS)
    assert check(replace(where, jobs=jobs), RULES) == alone


@pytest.mark.parametrize(
    ("setup", "asked", "lines"),
    [
        ("self.part = Config()", "self.part.size == 8", {14}),
        ("self.part = grow(Config()); self.part.size = 32", "self.part.size == 32", {14}),
        ("self.part = Parent(8)", "self.part.size == 3", {15}),
        ("self.part = CONFIG", "self.part.names", {15}),
        ("self.part = CONFIG; self.part.names.append(1)", "self.part.names", {14, 15}),
        ("self.part = grow(CONFIG)", "self.part.names", {14, 15}),
    ],
)
def test_what_constructors_do_is_seen(tmp_path: Path, setup: str, asked: str, lines: set[int]) -> None:
    """What a shared interpretation changes is changed for those that ask for it."""
    build(tmp_path, [(setup, asked)])
    result = check(Settings(paths=(tmp_path,), base=tmp_path, search_installed=False, jobs=1), RULES)
    assert {f.line for f in result.findings if f.code == "VL201"} == lines


def test_a_result_that_needs_itself_is_kept_for_where_it_began() -> None:
    """`even` needs `odd` and `odd` needs `even`: what each is does not depend on which was asked for first."""

    def ask(first: str, second: str) -> dict[str, str]:
        shared = Shared()
        others = {"even": "odd", "odd": "even"}

        def find(name: str) -> str:
            return shared.once(name, lambda: f"{name} of {find(others[name])}", "...")

        return {name: find(name) for name in (first, second)}

    assert ask("even", "odd") == ask("odd", "even") == {"even": "even of odd of ...", "odd": "odd of even of ..."}


def test_questions_are_noted_for_whoever_uses_a_result() -> None:
    shared = Shared()

    def work() -> int:
        shared.ask("text a.py", lambda: "1")
        return 3

    for _ in range(2):
        shared.touched = 0
        assert shared.once("work", work, 0) == 3
        assert shared.questions(shared.touched) == {"text a.py": "1"}
