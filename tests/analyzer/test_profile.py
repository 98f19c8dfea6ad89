"""Where the time of a run goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analyzer import programs
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.profile import Profile, spent_on
from vllm_lint.rules.catalogue import RULES

MODEL = programs.HEAD + (
    """
class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print(x)
        return self.linear(x)

@support_torch_compile
class Model(nn.Module):
    def __init__(self, *, vllm_config, prefix: str = "") -> None:
        super().__init__()
        self.layer = Layer()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.layer(input_ids)
"""
)


class Clock:
    """Shows what it was last set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_nests_in_something_else_does_not_count_for_that() -> None:
    clock = Clock()
    profile = Profile(clock)
    with profile.spent_on("root", "outer"):
        clock.now = 1.0
        with profile.spent_on("stage", "parse"):
            clock.now = 4.0
            with profile.spent_on("rule", "VL201"):
                clock.now = 4.5
        with profile.spent_on("stage", "parse"):
            clock.now = 6.5
        clock.now = 7.0
    assert profile.seconds == {("root", "outer"): 1.5, ("stage", "parse"): 5.0, ("rule", "VL201"): 0.5}
    assert profile.of("stage") == [("parse", 5.0)]


def test_time_counts_where_it_is_cut_short() -> None:
    clock = Clock()
    profile = Profile(clock)

    def give_up() -> None:
        with profile.spent_on("root", "outer"), profile.spent_on("stage", "parse"):
            clock.now = 2.0
            raise RecursionError

    with pytest.raises(RecursionError):
        give_up()
    clock.now = 3.0
    with profile.spent_on("stage", "index"):
        clock.now = 3.5
    assert profile.seconds == {("root", "outer"): 0.0, ("stage", "parse"): 2.0, ("stage", "index"): 0.5}


def test_nobody_asks() -> None:
    with spent_on(None, "stage", "parse"):
        pass


def test_a_run_names_its_stages_roots_and_rules(tmp_path: Path) -> None:
    programs.write(tmp_path, {"model.py": MODEL})
    profile = Profile()
    paths = (Path("model.py"),)
    check(Settings(paths, base=tmp_path, search_installed=False, cache_dir=tmp_path / "cache", profile=profile), RULES)
    assert {name for name, _ in profile.of("root")} == {"Model.forward"}
    assert "VL103" in {name for name, _ in profile.of("rule")}
    stages = {"find files", "read files", "parse", "index", "find compiled roots", "build objects", "read the cache"}
    assert stages <= {name for name, _ in profile.of("stage")}
    assert all(seconds >= 0 for seconds in profile.seconds.values())


def test_a_profile_counts_one_process(tmp_path: Path) -> None:
    programs.write(tmp_path, {f"model_{number}.py": MODEL for number in range(3)})
    profile = Profile()
    result = check(Settings((tmp_path,), base=tmp_path, search_installed=False, jobs=3, profile=profile), RULES)
    assert len(result.roots) == 3
    assert profile.seconds["root", "Model.forward"] > 0  # nothing would be known of other processes
