"""A check with a cache finds what one without a cache finds, whatever happened to the files in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vllm_lint.analyzer import questions, worker
from vllm_lint.analyzer.engine import CheckResult, Settings, check
from vllm_lint.analyzer.facts import FileFacts
from vllm_lint.analyzer.rule import Rule
from vllm_lint.rules.catalogue import RULES, find

HEADER = """\
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile

"""
ROOT = """\

@support_torch_compile
class Model(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if {condition} else -x
"""
PLAIN = f"{HEADER}{ROOT.format(condition='x.shape[0] > 64')}"
LAYERED = f"""{HEADER}
from pkg.layers.base import Layer
class Top(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
{ROOT.format(condition="self.top.layer.apply(x) > 64")}
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.top = Top(layer)
"""
HOPEFUL = """\
try:
    from pkg.extra import size
except ImportError:
    def size(x): return 1
"""
BROKEN = "def size(x:\n"

#: What each file may hold; the first is what it holds at the start, None that it is not there.
VARIANTS: dict[str, tuple[str | None, ...]] = {
    "pkg/__init__.py": ("", None),
    "pkg/models/__init__.py": ("", "from pkg.models.near import size\n", None),
    "pkg/models/far.py": (
        f"from pkg.middle import size\n{HEADER}{ROOT.format(condition='size(x) > 64')}",
        f"from pkg.models import size\n{HEADER}{ROOT.format(condition='size(x) > 64')}",
        PLAIN,
        PLAIN.replace("64:", "64:  # vllm-lint: ignore[VL201] both sides are equal"),
        BROKEN,
        None,
    ),
    "pkg/models/near.py": (
        f"from pkg.star import *\n{HEADER}{ROOT.format(condition='size(x) > 64')}",
        f"def size(x): return x.shape[0]\n{HEADER}{ROOT.format(condition='size(x) > 64')}",
        None,
    ),
    "pkg/models/layered.py": (LAYERED, None),
    "pkg/models/hopeful.py": (f"{HOPEFUL}{HEADER}{ROOT.format(condition='size(x) > 64')}",),
    "pkg/middle.py": (
        "from pkg.low import size\n",
        "from pkg.star import size\n",
        "size = abs\n",
        "from low import size\n",
        None,
    ),
    "pkg/star.py": ("from pkg.low import *\n", "def size(x): return 2\n", None),
    "pkg/low.py": ("def size(x): return x.shape[0]\n", "def size(x): return 3\n", "size = None\n", BROKEN, None),
    "pkg/extra.py": (None, "def size(x): return x.shape[0]\n", BROKEN),
    "pkg/extra/__init__.py": (None, "def size(x): return 4\n"),
    "pkg/layers/__init__.py": ("", None),
    "pkg/layers/base.py": (
        "class Layer:\n    def apply(self, x):\n        raise NotImplementedError\n",
        "class Layer:\n    def apply(self, x):\n        return x.shape[0]\n",
    ),
    "pkg/layers/one.py": (
        "from pkg.layers.base import Layer\nclass One(Layer):\n    def apply(self, x):\n        return 5\n",
        "from pkg.layers.base import Layer\nclass One(Layer):\n    def apply(self, x):\n        return x.shape[0]\n",
        "class One: pass\n",
        None,
    ),
    "pkg/layers/two.py": (
        None,
        "from pkg.layers.base import Layer\nclass Two(Layer):\n    def apply(self, x):\n        return x.numel()\n",
    ),
}
Edit = tuple[str, str | None, str]
"""File, what it is to hold, and how that comes about."""

edits = st.sampled_from(sorted(VARIANTS)).flatmap(
    lambda name: st.tuples(
        st.just(name), st.sampled_from(VARIANTS[name]), st.sampled_from(["write", "replace", "write with an old date"])
    )
)
run_settings = st.fixed_dictionaries(
    {
        "paths": st.sampled_from([("pkg",), ("pkg/models",), ("pkg/models/far.py", "pkg/models/hopeful.py")]),
        "roots": st.sampled_from([(), ("pkg.middle:size",)]),
        "source_roots": st.sampled_from([(), ("pkg",)]),
        "rules": st.sampled_from([RULES, find("VL2"), find("VL0")]),
    }
)


def put(base: Path, edit: Edit) -> None:
    name, content, manner = edit
    path = base / name
    if content is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if manner == "replace":  # as git and most editors do it
        (base / "new").write_text(content)
        (base / "new").replace(path)
    else:
        path.write_text(content)
    if manner == "write with an old date":  # as unpacking an archive does
        os.utime(path, (1e9, 1e9))


def build(base: Path) -> None:
    for name, variants in VARIANTS.items():
        put(base, (name, variants[0], "write"))


def run(
    base: Path,
    cache: str | None = "cache",
    *,
    paths: tuple[str, ...] = ("pkg",),
    roots: tuple[str, ...] = (),
    source_roots: tuple[str, ...] = (),
    rules: tuple[type[Rule], ...] = RULES,
) -> CheckResult:
    existing = tuple(Path(path) for path in paths if (base / path).exists())
    made = Settings(
        paths=existing,
        base=base,
        roots=roots,
        source_roots=tuple(map(Path, source_roots)),
        search_installed=False,
        cache_dir=base / cache if cache else None,
        jobs=1,
    )
    return check(made, rules)


@contextmanager
def quick_clock() -> Iterator[None]:
    """Files count as settled after milliseconds, so that their dates are relied on in a short test as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "_TICK_NS", 20_000_000)
        patch.setattr(worker, "_RECURSION_LIMIT", 0)  # hypothesis has its own ideas about the limit
        yield


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.lists(edits, max_size=3), run_settings), min_size=2, max_size=6))
def test_cached_findings_are_those_of_a_fresh_run(steps: list[tuple[list[Edit], dict[str, object]]]) -> None:
    with tempfile.TemporaryDirectory() as name, quick_clock():
        base = Path(name).resolve()
        build(base)
        run(base)
        for changes, options in steps:
            for change in changes:
                put(base, change)
            expected = without_steps(run(base, None, **options))  # type: ignore[arg-type]
            assert without_steps(run(base, **options)) == expected  # type: ignore[arg-type]
            time.sleep(0.03)
            assert without_steps(run(base, **options)) == expected  # type: ignore[arg-type]


def without_steps(result: CheckResult) -> CheckResult:
    return replace(result, findings=tuple(msgspec.structs.replace(finding, steps=()) for finding in result.findings))


def test_path_from_the_own_root(tmp_path: Path) -> None:
    build(tmp_path)
    put(tmp_path, ("pkg/models/early.py", VARIANTS["pkg/models/far.py"][0], "write"))
    [finding] = [f for f in run(tmp_path).findings if f.path == "pkg/models/far.py"]
    assert finding.steps[0].span.path == "pkg/models/far.py"


def flawed(result: CheckResult) -> set[str]:
    """Models with a decision on the number of tokens."""
    return {finding.path for finding in result.findings if finding.code == "VL201"}


MODELS = {name: f"pkg/models/{name}.py" for name in ("far", "near", "layered", "hopeful")}


@pytest.mark.parametrize(
    ("name", "variant", "changed"),
    [
        ("pkg/low.py", 1, {"far", "near"}),
        ("pkg/low.py", 4, {"far", "near"}),
        ("pkg/middle.py", 2, {"far"}),
        ("pkg/star.py", 1, {"near"}),
        ("pkg/extra.py", 1, {"hopeful"}),
        ("pkg/layers/one.py", 1, {"layered"}),
        ("pkg/layers/two.py", 1, {"layered"}),
        ("pkg/layers/base.py", 1, {"layered"}),
    ],
)
def test_edits_make_a_difference(tmp_path: Path, name: str, variant: int, changed: set[str]) -> None:
    """What the edits of the test above would miss if facts were kept too long."""
    build(tmp_path)
    before = flawed(run(tmp_path))
    put(tmp_path, (name, VARIANTS[name][variant], "write"))
    assert flawed(run(tmp_path)) ^ before == {MODELS[model] for model in changed}


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are examined, in order."""
    names: list[str] = []
    original = worker.Worker.examine

    def recording(self: worker.Worker, paths: Sequence[Path]) -> list[FileFacts]:
        names.extend(path.stem for path in paths)
        return original(self, paths)

    monkeypatch.setattr(worker.Worker, "examine", recording)
    return names


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (None, set()),
        (("pkg/models/far.py", PLAIN + "# another comment\n", "write"), {"far"}),
        (("pkg/middle.py", "from pkg.low import size  # here\n", "write"), {"far", "middle"}),
        (("pkg/low.py", "def size(x): return 3\n", "write"), {"far", "near", "low", "middle", "star"}),
        (("pkg/layers/two.py", VARIANTS["pkg/layers/two.py"][1], "write"), {"layered", "two"}),
        (("pkg/layers/other.py", "class Other(int): pass\n", "write"), {"other"}),
        (("pkg/extra.py", VARIANTS["pkg/extra.py"][1], "write"), {"hopeful", "extra"}),
    ],
)
def test_only_what_depends_on_a_change_is_examined(
    tmp_path: Path, examined: list[str], edit: Edit | None, expected: set[str]
) -> None:
    build(tmp_path)
    run(tmp_path)
    examined.clear()
    if edit is not None:
        put(tmp_path, edit)
    run(tmp_path)
    # Modules that only import others have nothing to be interpreted, so they may or may not have looked.
    assert set(examined) - {"middle", "star"} == expected - {"middle", "star"}


def test_files_to_check_are_others(tmp_path: Path) -> None:
    """Implementations of an interface of vLLM are followed only where they are checked as well."""
    layers = "vllm/model_executor/layers"
    for folder in ("vllm", "vllm/model_executor", layers):
        put(tmp_path, (f"{folder}/__init__.py", "", "write"))
    imports = "from vllm.model_executor.layers.linear import LinearMethodBase\n"
    base = "class LinearMethodBase:\n    def apply(self, layer, x, bias=None):\n        raise NotImplementedError\n"
    flaw = "    def apply(self, layer, x, bias=None):\n        return x if x.shape[0] > 64 else -x\n"
    construct = "    def __init__(self, method: LinearMethodBase) -> None:\n        self.method = method\n"
    condition = ROOT.format(condition="self.method.apply(self, x) is not None")
    put(tmp_path, (f"{layers}/linear.py", base, "write"))
    put(tmp_path, (f"{layers}/quick.py", f"{imports}class Quick(LinearMethodBase):\n{flaw}", "write"))
    put(tmp_path, ("model.py", f"{imports}{HEADER}{condition}{construct}", "write"))
    assert flawed(run(tmp_path, paths=("model.py",))) == set()
    assert flawed(run(tmp_path, paths=("model.py", layers))) == {f"{layers}/quick.py"}
    assert flawed(run(tmp_path, paths=("model.py",))) == set()


def test_installed_packages_to_check_are_others(tmp_path: Path) -> None:
    """An installed package that is not checked is a library, known by name alone."""
    model = f"from other import size\n{HEADER}{ROOT.format(condition='size(x) > 64')}"
    put(tmp_path, ("site-packages/own/__init__.py", "", "write"))
    put(tmp_path, ("site-packages/own/model.py", model, "write"))
    put(tmp_path, ("site-packages/other/__init__.py", "def size(x): return x.shape[0]\n", "write"))
    own, other = "site-packages/own", "site-packages/other"
    for paths, expected in (((own,), set()), ((own, other), {f"{own}/model.py"}), ((own,), set())):
        assert flawed(run(tmp_path, paths=paths)) == expected


def test_old_text_is_remembered(tmp_path: Path, examined: list[str]) -> None:
    """Switching between branches examines nothing that was examined before."""
    build(tmp_path)
    before = run(tmp_path)
    path = tmp_path / "pkg/models/far.py"
    original = path.read_text()
    put(tmp_path, ("pkg/models/far.py", PLAIN, "write"))
    run(tmp_path)
    put(tmp_path, ("pkg/models/far.py", original, "write with an old date"))
    examined.clear()
    assert run(tmp_path) == before
    assert examined == []


def test_cache_moves_with_the_project(tmp_path: Path, examined: list[str]) -> None:
    build(tmp_path / "here")
    before = run(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    examined.clear()
    assert run(tmp_path / "there") == before
    assert examined == []


def test_other_rules_and_other_code_of_ours(
    tmp_path: Path, examined: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path)
    everything = run(tmp_path)
    assert flawed(run(tmp_path, rules=find("VL1"))) == set()
    examined.clear()
    monkeypatch.setattr("vllm_lint.analyzer.memory.code_stamp", lambda _: "another version")
    assert run(tmp_path) == everything
    assert "far" in examined


def test_rules_from_elsewhere_are_always_asked(tmp_path: Path, examined: list[str]) -> None:
    """Their code can change without notice."""

    class Own(RULES[0]):  # type: ignore[misc, valid-type]
        pass

    build(tmp_path)
    for _ in range(2):
        examined.clear()
        run(tmp_path, rules=(Own, *RULES))
        assert "far" in examined


def test_order_and_number_of_processes_do_not_matter(tmp_path: Path) -> None:
    """Two models share a helper with a flaw; each is told of it, whichever comes first."""
    put(tmp_path, ("helper.py", "def decide(x):\n    return x if x.shape[0] > 64 else -x\n", "write"))
    model = f"from helper import decide\n{HEADER}{ROOT.format(condition='True')}".replace(
        "return x if", "decide(x)\n        return x if"
    )
    put(tmp_path, ("a.py", model, "write"))
    put(tmp_path, ("b.py", model, "write"))
    result = run(tmp_path, paths=(".",))
    assert flawed(result) == {"helper.py"}
    put(tmp_path, ("a.py", "", "write"))
    assert flawed(run(tmp_path, paths=(".",))) == {"helper.py"}


RUN = """
import sys
from pathlib import Path
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.rules.catalogue import RULES
base = Path(sys.argv[1])
result = check(Settings(paths=(Path("pkg"),), base=base, search_installed=False, cache_dir=base / "cache"), RULES)
print(*sorted(f"{finding.path}:{finding.line}:{finding.code}" for finding in result.findings), result.errors)
"""


def test_two_runs_at_once_and_edits_between_them(tmp_path: Path) -> None:
    build(tmp_path)
    for variant in VARIANTS["pkg/low.py"][:4]:
        put(tmp_path, ("pkg/low.py", variant, "write"))
        command = [sys.executable, "-c", RUN, str(tmp_path)]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        outputs = {process.communicate(timeout=120)[0] for process in processes}
        found = run(tmp_path, None).findings
        assert outputs == {" ".join([*sorted(f"{f.path}:{f.line}:{f.code}" for f in found), "()"]) + "\n"}


def test_killed_runs(tmp_path: Path) -> None:
    build(tmp_path)
    for index in range(8):
        put(tmp_path, ("pkg/low.py", VARIANTS["pkg/low.py"][index % 4], "write"))
        process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.DEVNULL)
        time.sleep(0.1 + 0.05 * index)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert run(tmp_path) == run(tmp_path, None)
