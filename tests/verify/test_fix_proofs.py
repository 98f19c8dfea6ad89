"""A fix is tried on a copy before anybody applies it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli import samples
from tests.verify.test_commands import program
from vllm_lint.analyzer.engine import CheckResult, FileReport
from vllm_lint.analyzer.findings import Edit, Finding, Fix, Span
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.cli.check import checked
from vllm_lint.cli.fixes import rewrites
from vllm_lint.cli.options import make_plan
from vllm_lint.cli.verification import Verifier
from vllm_lint.cli.verification_options import Given
from vllm_lint.cli.verified_check import verified

SOURCE = """
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile


@support_torch_compile
class M(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print(x.shape)
        return x * 2
"""
UNBUILDABLE = """

@support_torch_compile
class Unbuildable(nn.Module):
    def __init__(self, config):
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print(x.shape)
        return x * 2
"""


def proofs(folder: Path, text: str, *replacements: str, safety: str = "safe") -> list[tuple[str | None, str]]:
    """Proof and reason of fixes that put `replacements` in place of the statements that findings point at."""
    (folder / "model.py").write_text(text)
    options: dict[str, Any] = {
        **dict.fromkeys(("min_confidence", "config", "cache_dir")),
        **dict.fromkeys(("select", "ignore", "exclude"), ()),
        **dict.fromkeys(("preview", "force_exclude"), False),
    }
    plan = make_plan((str(folder / "model.py"),), **options, isolated=True, no_cache=True, jobs=1)
    result = checked(plan)
    assert len(result.findings) == len(replacements)
    offered = [
        msgspec.structs.replace(f, fixes=(Fix("change", safety, (Edit(f.span, new),)),))  # type: ignore[arg-type]
        for f, new in zip(result.findings, replacements, strict=True)
    ]
    given = Given(dict.fromkeys(("device",), "cpu"), None, None, ())
    judged = verified(replace(result, findings=tuple(offered)), Verifier(given, plan.loaded, 1), plan.settings.base)
    return [(fix.proof, fix.reason) for f in judged.findings for fix in f.fixes]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("x = x + 1", "M does something else with it at 1, 2, 3, 7 tokens: output: values differ"),
        ("x = x + (x.shape[0] == 3)", "M does something else with it at 3 tokens: output: values differ"),
        ("x = x.double()", "M does something else with it at 1, 2, 3, 7 tokens: output: float64[1, 8] instead of"),
        ("x.mul_(2); x = x / 2", "M does something else with it at 1, 2, 3, 7 tokens: inputs.x: values differ"),
        ("x = nowhere(x)", "M does not run with it: NameError: name 'nowhere' is not defined"),
        (
            "print('else')",
            "M: the capture still shows VL103: M, rank 0, compilation 0/0: the capture failed with Unsupported",
        ),
        (
            "torch._dynamo.graph_break()",
            "M: the capture still shows VL103: M, rank 0, compilation 0/0: the capture failed with Unsupported",
        ),
        ("x = (", "it would leave something that is not Python"),
    ],
)
def test_a_fix_that_does_not_repair_or_changes_something_is_rejected(tmp_path: Path, new: str, reason: str) -> None:
    ((proof, said),) = proofs(tmp_path, SOURCE, new)
    assert proof == "rejected"
    assert said.startswith(reason)


@pytest.mark.torch
def test_an_unsafe_fix_is_held_to_what_it_returns(tmp_path: Path) -> None:
    ((proof, said),) = proofs(tmp_path, SOURCE, "x.mul_(2); x = x / 2", safety="unsafe")
    sizes = "1, 2, 3, 7, 127, 128, 129, 256, 512, 1000"
    assert (proof, said) == ("proved", f"M: equal without compilation at {sizes} tokens, captured and replayed")


@pytest.mark.torch
def test_of_two_fixes_in_a_file_each_gets_its_own_proof(tmp_path: Path) -> None:
    two = SOURCE.replace("        return", "        print('b')\n        return")
    (good, _), (bad, reason) = proofs(tmp_path, two, "pass", "x = x + 1")
    assert (good, bad) == ("proved", "rejected")
    assert "something else" in reason


@pytest.mark.torch
def test_what_stops_the_capture_besides_is_told(tmp_path: Path) -> None:
    two = SOURCE.replace("        return", "        print('b')\n        return")
    (good, said), (bad, _) = proofs(tmp_path, two, "pass", "print('still')")
    assert (good, bad) == ("proved", "rejected")
    assert said.endswith("no longer shown, while something else stops the capture")


@pytest.mark.torch
def test_a_fix_that_nothing_comes_to_is_not_run(tmp_path: Path) -> None:
    first, second = proofs(tmp_path, SOURCE + UNBUILDABLE, "pass", "pass")
    assert first[0] == "proved"
    assert second[0] == "not run"
    assert second[1].startswith("Unbuildable: nothing is known of the argument `config`")


@pytest.mark.torch
def test_fix_and_diff_with_verify_apply_what_is_proved(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SOURCE)
    options = ("check", "model.py", "--verify", "--isolated")
    done = program(tmp_path, *options, "--output-format", "json")
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["fixes"][0]["proof"] == "proved"
    done = program(tmp_path, *options, "--diff")
    assert "+        if not torch.compiler.is_compiling():\n" in done.stdout
    assert (tmp_path / "model.py").read_text() == SOURCE
    done = program(tmp_path, *options, "--fix")
    assert (done.returncode, "is_compiling" in (tmp_path / "model.py").read_text()) == (0, True)


ROTARY = """
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile


@support_torch_compile
class M(nn.Module):
    def forward(self, positions: torch.Tensor, qkv: torch.Tensor) -> torch.Tensor:
        query, _ = qkv.split([4, 4], dim=-1)
        return query.view(positions.shape[0], 2, -1).sum(1)
"""


@pytest.mark.torch
def test_a_fix_of_a_decorator_is_proved_by_the_passes_that_can_tell(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(ROTARY)
    done = program(tmp_path, "check", "model.py", "--verify", "--isolated", "--output-format", "json")
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["code"], finding["verdict"], finding["fixes"][0]["proof"]) == ("VL206", "confirmed", "proved")


@pytest.mark.parametrize(
    ("proof", "safety", "unsafe", "applied"),
    [
        (None, "safe", False, 1),
        ("proved", "safe", False, 1),
        ("not run", "safe", False, 1),
        ("rejected", "safe", True, 0),
        ("proved", "unsafe", False, 0),
        ("proved", "unsafe", True, 1),
        ("not run", "unsafe", True, 0),
        (None, "unsafe", True, 1),
    ],
)
def test_what_is_applied_by_its_proof(
    checked_file: CheckResult, tmp_path: Path, proof: str | None, safety: str, unsafe: bool, applied: int
) -> None:
    (finding,) = checked_file.findings
    fix = msgspec.structs.replace(finding.fixes[0], proof=proof, safety=safety)
    changed: Finding = msgspec.structs.replace(finding, fixes=(fix,))
    assert rewrites(replace(checked_file, findings=(changed,)), tmp_path, unsafe=unsafe).applied == applied


@pytest.fixture
def checked_file(tmp_path: Path) -> CheckResult:
    path = tmp_path / "a.py"
    path.write_text("a = 1\n")
    read = read_source(path, "a.py")
    assert isinstance(read, SourceFile)
    fix = Fix("change", "safe", (Edit(Span("a.py", 1, 5, 1, 6), "2"),))
    finding = samples.finding(path="a.py", line=1, end_line=1, fixes=(fix,))
    return CheckResult((finding,), (), (FileReport("a.py", "not reached", "", read.digest),), (), 0)
