"""The path of a finding leads from the argument to the decision, and every run tells it the same way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

from tests.analyzer.programs import HEAD, check_model, check_program, found, only, run, write
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Finding
from vllm_lint.rules.catalogue import RULES


def path_of(finding: Finding) -> list[tuple[str, int, str]]:
    return [(step.span.path, step.span.line, step.message) for step in finding.steps]


def line_of(text: str, fragment: str) -> int:
    """The line of `text` that contains `fragment`, counted from 1."""
    (number,) = [i for i, line in enumerate(text.splitlines(), 1) if fragment in line]
    return number


HELPERS = """\
def rows(tensor):
    return tensor.shape[0]


def tiles(count):
    return count // 128


def is_large(count, limit):
    return count > limit


def choose(x, count):
    if is_large(tiles(count), 4):  # expect: VL201
        return x * 2
    return x
"""
MODEL = (
    HEAD
    + """
from helpers import choose, rows


class Layer(nn.Module):
    def forward(self, x):
        n = rows(x)
        return choose(x, n)  # chosen


@support_torch_compile
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Layer()

    def forward(self, other: int, x: torch.Tensor):  # enters
        hidden = x * 2
        return self.layer(hidden)  # called
"""
)


def test_path_through_files(tmp_path: Path) -> None:
    finding = only(check_program(tmp_path, {"model.py": MODEL, "helpers.py": HELPERS}), "VL201")
    assert finding.root is not None
    assert (finding.root.name, finding.root.path) == ("Model.forward", "model.py")
    decision = line_of(HELPERS, "if is_large")
    assert (finding.path, finding.line) == ("helpers.py", decision)
    assert path_of(finding) == [
        ("model.py", line_of(MODEL, "# enters"), "`x` enters with dimension 0 dynamic"),
        ("model.py", line_of(MODEL, "# called"), "calls `Layer.forward`"),
        ("helpers.py", line_of(HELPERS, "shape[0]"), "`tensor.shape[0]` is the number of tokens"),
        ("model.py", line_of(MODEL, "# chosen"), "passed to `choose` as `count`"),
        ("helpers.py", decision, "passed to `tiles` as `count`"),
        ("helpers.py", decision, "passed to `is_large` as `count`"),
    ]


def test_steps_come_in_the_order_of_execution(tmp_path: Path) -> None:
    text = """\
        def double(n):
            return n * 2

        def half(n):
            return n // 2

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                n = x.shape[0]
                m = double(n)
                k = half(m + 1)
                return x if k > 64 else -x  # expect: VL201
        """
    finding = only(check_model(tmp_path, text), "VL201")
    lines = [line for path, line, _ in path_of(finding)]
    source = (tmp_path / "model.py").read_text()
    in_forward = [line for line in lines if line >= line_of(source, "def forward")]
    assert in_forward == sorted(in_forward)
    assert in_forward[:3] == [line_of(source, f) for f in ("def forward", "n = x.shape[0]", "m = double(n)")]
    assert line_of(source, "k = half(m + 1)") in in_forward


def test_the_path_is_that_of_the_argument_that_decides(tmp_path: Path) -> None:
    text = """\
        @support_torch_compile
        class Model(nn.Module):
            def forward(self, first: torch.Tensor, second: torch.Tensor):
                a = first.shape[0]
                b = second.shape[0]
                if a > 64: first = -first  # expect: VL201
                if b > 32: first = -first  # expect: VL201
                return first
        """
    findings = check_model(tmp_path, text).findings
    assert [f.steps[0].message.split("`")[1] for f in findings] == ["first", "second"]
    assert all("second" not in message for _, _, message in path_of(findings[0]))


def test_two_roots_share_a_finding(tmp_path: Path) -> None:
    layer = """\
        def act(x):
            return x if x.shape[0] > 64 else -x  # expect: VL201
        """
    model = """\
        import torch
        from torch import nn
        from vllm.compilation.decorators import support_torch_compile
        from layer import act

        @support_torch_compile
        class {name}(nn.Module):
            def forward(self, x: torch.Tensor):
                return act(x)
        """
    files = {f"{n.lower()}.py": dedent(model).format(name=n) for n in ("Beta", "Alpha", "Gamma")}
    finding = only(check_program(tmp_path, {"layer.py": layer, **files}), "VL201")
    assert finding.root is not None
    assert finding.root.name == "Alpha.forward"
    assert finding.steps[0].span.path == "alpha.py"
    for order in (("gamma.py", "beta.py", "alpha.py", "layer.py"), ("layer.py", "alpha.py", "gamma.py", "beta.py")):
        assert only(run(tmp_path, *order), "VL201") == finding


def test_a_root_that_is_not_checked_reports_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": MODEL, "helpers.py": HELPERS})
    assert found(run(tmp_path, "helpers.py")) == []
    assert found(run(tmp_path, "model.py")) == []
    assert len(run(tmp_path, "model.py", "helpers.py").findings) == 1


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    """Sixty modules that share layers, and inherit from each other."""
    layers = "".join(
        f"""
def act{i}(x, n):
    if n % {i + 2} == 0:
        return x * {i}
    return act{(i + 1) % 12}(x, n + 1) if n > {i} else x
"""
        for i in range(12)
    )
    files = {"pkg/__init__.py": "", "pkg/layers.py": layers}
    for i in range(60):
        base = (
            f"from pkg.model{i - 7} import Model{i - 7} as Base"
            if i % 5 == 4 and i > 7
            else "from torch.nn import Module as Base"
        )
        files[f"pkg/model{i}.py"] = f"""\
import torch
from vllm.compilation.decorators import support_torch_compile
from pkg.layers import act{i % 12} as act
{base}

@support_torch_compile
class Model{i}(Base):
    def forward(self, x: torch.Tensor, y: torch.{"LongTensor" if i % 9 == 0 else "Tensor"}):
        print(x) if self.verbose else None
        return act(x, y.shape[0] + {i % 3})
"""
    write(tmp_path, files)
    settings = Settings(paths=(Path("pkg"),), base=tmp_path, search_installed=False, jobs=1)
    alone = check(settings, RULES)
    assert {f.code for f in alone.findings} >= {"VL103", "VL201", "VL205"}
    assert len(alone.roots) == 60
    for jobs in (2, 3):
        assert check(replace(settings, jobs=jobs), RULES) == alone
    cached = replace(settings, cache_dir=tmp_path / "cache", jobs=2)
    assert check(cached, RULES) == alone
    assert check(cached, RULES) == alone
