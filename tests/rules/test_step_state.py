"""What changes between steps, and what only looks like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.samples import codes, found
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Confidence, Severity
from vllm_lint.rules.catalogue import RULES


@pytest.mark.parametrize(
    "body",
    [
        "self.seen = x.shape[0]\nreturn x",  # measured: the number of tokens is carried on as a symbol
        "seen = []\nseen.append(x)\nreturn torch.stack(seen)",
        "seen = self.seen = []\nself.seen.append(1)\nreturn x",
        "if not hasattr(self, 'mask'):\n    self.mask = torch.ones(8)\nreturn x * self.mask",
        "x.label = 'hidden'\nreturn x",
        "if self.training:\n    self.steps += 1\nreturn x",
    ],
)
def test_no_finding(tmp_path: Path, body: str) -> None:
    assert codes(found(tmp_path, body)) == []


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("self.calls += 1\nreturn x * self.calls", "VL602", 0),
        ("y = x * self.calls\nself.calls = 2\nreturn y", "VL602", 0),
        ("type(self).calls += 1\nreturn x * self.calls", "VL602", 0),
        ("global STEPS\nSTEPS += 1\nreturn x * STEPS", "VL604", 1),
        ("SEEN.add(1)\nreturn x * len(SEEN)", "VL604", 0),
        ("SEEN.add(x)\nreturn x", "VL404", 0),
        ("if os.environ.get('DEBUG'):\n    x = x * 2\nreturn x", "VL601", 0),
        ("return x * 2 if 'DEBUG' in os.environ else x", "VL601", 0),
        ("m = get_forward_context().attn_metadata\nn = m[0] if m else None\nreturn x", "VL603", 1),
        ("c = get_forward_context()\nif c.num_tokens > 3:\n    x = x * 2\nreturn x", "VL603", 1),
        ("self.hidden = x * 2\nreturn x", "VL403", 0),
        ("global BUFFER\ny = x + BUFFER\nBUFFER = x.sum(0)\nreturn y", "VL403", 2),
        ("torch.set_default_dtype(torch.float16)\nreturn x", "VL608", 0),
    ],
)
def test_a_finding_in_its_line(tmp_path: Path, body: str, code: str, line: int) -> None:
    before = """
    import os
    from vllm.forward_context import get_forward_context
    STEPS = 0
    SEEN = set()
    BUFFER = torch.zeros(8)
    """
    # What the environment decides is also missing from the key of the compile cache.
    findings = [f for f in found(tmp_path, body, before=before) if not f.code.startswith("VL5")]
    lines = (tmp_path / "model.py").read_text(encoding="utf-8").splitlines()
    first = lines.index(f"        {body.splitlines()[0]}") + 1
    assert [(f.code, f.line) for f in findings] == [(code, first + line)]


def test_only_vllm_drops_the_guards_on_state(tmp_path: Path) -> None:
    body = "self.calls += 1\nreturn x * self.calls"
    assert codes(found(tmp_path, body)) == ["VL602"]
    assert codes(found(tmp_path, body, decorator="@torch.compile(fullgraph=True)")) == []


def test_a_change_that_a_condition_decides_about_is_less_certain(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, "if self.records:\n    self.calls += 1\nreturn x * self.calls")
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.MEDIUM)
    assert finding.message.endswith("a condition decides whether it is reached")


def test_the_path_leads_from_the_read_to_the_change(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, "y = x * (2 if self.even else 3)\nself.even = not self.even\nreturn y")
    assert finding.steps[-1].span.line == finding.line + 1
    assert finding.steps[-1].message == "`self.even` is changed here"


def test_what_is_passed_beside_the_context_of_the_step_is_not_taken_from_it(tmp_path: Path) -> None:
    before = """
    from vllm.forward_context import get_forward_context
    def layer(x, metadata):
        return x, None
    """
    body = """
    metadata = get_forward_context().attn_metadata
    x, residual = layer(x, metadata)
    return x if residual is None else x + residual
    """
    assert codes(found(tmp_path, body, before=before)) == []


def test_enable_if_says_which_way_the_configuration_goes(tmp_path: Path) -> None:
    source = """
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile

@support_torch_compile(enable_if=lambda config: {condition}config.cache_config.fast)
class M(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.is_fast = config.cache_config.fast
    def forward(self, x: torch.Tensor):
        if self.is_fast:
            return self.fast(x)
        return x
    def fast(self, x):
        print(x)
        return x
"""
    for condition, expected in (("", ["VL103"]), ("not ", [])):
        (tmp_path / "model.py").write_text(source.format(condition=condition), encoding="utf-8")
        result = check(Settings(paths=(tmp_path,), base=tmp_path, search_installed=False, jobs=1), RULES)
        assert codes(list(result.findings)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return x * 2 if os.environ.get('FAST') else x", ("VL601", Severity.ERROR)),
        ("return x * 2 if fast() and self.fast else x", ("VL601", Severity.ERROR)),
        ("mode = os.getenv('FAST')\nreturn x", ("VL601", Severity.WARNING)),
        ("return x * 2 if os.getenv('VLLM_HASHED') else x", ("VL601", Severity.WARNING)),
        ("if self.other:\n    x = x * 2 if os.getenv('FAST') else x\nreturn x", ("VL601", Severity.WARNING)),
        ("return x * 2 if self.fast else x", ("VL501", Severity.ERROR)),
    ],
)
def test_one_finding_tells_of_a_read_of_the_environment(
    tmp_path: Path, body: str, expected: tuple[str, Severity]
) -> None:
    before = """
    import os
    def fast():
        return os.getenv("FAST") == "1"
    class Built(nn.Module):
        def __init__(self):
            super().__init__()
            self.fast = fast()
    """
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").touch()
    (tmp_path / "vllm" / "envs.py").write_text(ENVS)
    (finding,) = found(tmp_path, body, before=before, bases="Built")
    assert (finding.code, finding.severity) == expected


ENVS = """
import os
environment_variables = {"VLLM_HASHED": lambda: os.getenv("VLLM_HASHED")}
def compile_factors():
    return {name: getter() for name, getter in environment_variables.items()}
"""


@pytest.mark.parametrize(
    ("reader", "severity"),
    [
        ("class Other:\n    def show(self):\n        return self.calls", Severity.WARNING),
        ("class Other:\n    def show(self, calls):\n        return calls", Severity.WARNING),
        ("def show(model):\n    return model.calls", Severity.ERROR),
        ("class Base(nn.Module):\n    def show(self):\n        return self.calls", Severity.ERROR),
    ],
)
def test_a_counter_is_used_where_its_own_class_or_somebody_else_reads_it(
    tmp_path: Path, reader: str, severity: Severity
) -> None:
    bases = "Base" if "class Base" in reader else "nn.Module"
    (finding,) = found(tmp_path, "self.calls += 1\nreturn x", before=f"\n{reader}\n", bases=bases)
    assert (finding.code, finding.severity) == ("VL602", severity)
