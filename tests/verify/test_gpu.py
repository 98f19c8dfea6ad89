"""Targets on a GPU, and what is said where there is none."""

from __future__ import annotations

import shutil
from typing import Any

import msgspec
import pytest

from tests.proofs.cases import Case, all_cases
from tests.verify.conftest import Verify
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import (
    Backend,
    EagerFailed,
    GraphSync,
    ReplayFailed,
    Result,
    ShapeGuard,
    StateGuard,
    WrongAnswer,
)
from vllm_lint.runtime_verifier.pool import Pool

BACKENDS: tuple[Backend, ...] = ("eager", "aot_eager", "inductor", "cudagraph")
SIZES = (1, 64, 128)
#: The verifier moves the attributes of a module to the GPU, and with them the one that a case keeps on the CPU.
RECORDED = [
    c
    for c in all_cases()
    if c.rule in ("VL401", "VL402") and c.path.stem in ("flagged", "repaired") and c.name != "Attribute"
]


def forward(body: str, init: str = "pass") -> str:
    return f"""
class M(nn.Module):
    def __init__(self):
        super().__init__()
        {init}

    def forward(self, x: torch.Tensor):
        {body}
"""


def of(kind: type, result: Result) -> list[Any]:
    return [outcome for outcome in result.outcomes if isinstance(outcome, kind)]


@pytest.mark.torch
@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU")
def test_without_a_gpu_one_line_says_that_cuda_graphs_need_one(verify: Verify) -> None:
    (outcome,) = verify(forward("return x * 2"), backends=("cudagraph",)).outcomes
    assert isinstance(outcome, EagerFailed)
    assert outcome.message == "replay from a CUDA graph needs a GPU, and torch finds none"


@pytest.mark.gpu
@pytest.mark.torch
def test_a_target_runs_on_the_gpu_and_says_so(verify: Verify) -> None:
    result = verify(forward("return x * self.scale", "self.scale = torch.ones(8)"), backends=BACKENDS, sizes=SIZES)
    assert result.clean, result.outcomes
    assert result.platform.startswith("cuda (")
    assert result.device_memory > 0
    assert result.parts[0].graphed == (1, 64, 96, 128)


@pytest.mark.gpu
@pytest.mark.torch
def test_a_branch_on_the_size_is_wrong_under_every_backend(verify: Verify) -> None:
    body = "return x * 2 if x.shape[0] % 64 == 0 else x + 1"
    result = verify(forward(body), backends=BACKENDS, sizes=SIZES)
    assert [guard.fails_at[0] for guard in of(ShapeGuard, result)] == [64]
    assert {wrong.backend: wrong.sizes for wrong in of(WrongAnswer, result)} == dict.fromkeys(BACKENDS, (64, 128))


@pytest.mark.gpu
@pytest.mark.torch
@pytest.mark.parametrize("body", ["return x / x.count_nonzero().item()", "return x * x.amax().cpu().to(x.device)"])
def test_cuda_refuses_to_record_a_sync(verify: Verify, body: str) -> None:
    result = verify(forward(body), backends=("eager", "cudagraph"), sizes=SIZES)
    assert [sync.place.function for sync in of(GraphSync, result)] == ["forward"]
    (failed,) = of(ReplayFailed, result)
    assert failed.backend == "cudagraph"
    assert failed.message.startswith("NotCaptured: ")
    assert result.parts[0].replayed == (1, 64, 96, 128)
    assert result.parts[0].graphed == ()


@pytest.mark.gpu
@pytest.mark.torch
@pytest.mark.parametrize("case", RECORDED, ids=lambda c: c.id)
def test_cuda_records_what_is_repaired_and_refuses_what_is_flagged(pool: Pool, case: Case) -> None:
    result = pool.run(msgspec.structs.replace(case.job, backends=("eager", "cudagraph"), sizes=SIZES, reference=None))
    refused = [o for o in of(ReplayFailed, result) if o.message.startswith("NotCaptured: ")]
    assert bool(refused) == case.path.stem.startswith("flagged"), result.outcomes


@pytest.mark.gpu
@pytest.mark.torch
def test_a_cuda_graph_leaves_out_what_the_host_does(verify: Verify) -> None:
    """The compiled forward counts on, its CUDA graph does not."""
    result = verify(
        forward("self.calls += 1\n        return x + self.calls", "self.calls = 0"),
        backends=("eager", "cudagraph"),
        sizes=SIZES,
    )
    assert of(StateGuard, result)
    assert "cudagraph" in {wrong.backend for wrong in of(WrongAnswer, result)}


@pytest.mark.gpu
@pytest.mark.torch
def test_a_cuda_graph_writes_to_buffers_and_inputs(verify: Verify) -> None:
    body = "self.seen.copy_(x.sum(0))\n        x.mul_(2)\n        return x + self.seen"
    init = "self.register_buffer('seen', torch.zeros(8))"
    result = verify(forward(body, init), backends=BACKENDS, sizes=SIZES)
    assert result.clean, result.outcomes


@pytest.mark.gpu
@pytest.mark.torch
def test_an_assertion_on_the_device_ends_one_target_only(verify: Verify) -> None:
    result = verify(forward("return x[torch.full((1,), 10**9, device=x.device)]"), backends=("eager",), sizes=SIZES)
    assert of(EagerFailed, result), result.outcomes
    assert verify(forward("return x + 1"), backends=("eager",), sizes=SIZES).clean


@pytest.mark.gpu
@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "MixtralForCausalLM"])
def test_models_of_vllm_are_clean_from_eager_to_cuda_graphs(pool: Pool, architecture: str) -> None:
    result = pool.run(
        Job(target=architecture, provider="vllm", backends=BACKENDS, trace_size=509, sizes=(1, 2, 128), timeout=240)
    )
    assert result.clean, result.outcomes
    assert result.platform.startswith("cuda (")
    assert result.parts[0].graphed == (1, 2, 128, 509)
