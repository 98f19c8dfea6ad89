"""The README's example does what the finding about it says: captured without a word, and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import WrongAnswer
from vllm_lint.runtime_verifier.pool import Pool

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
HARNESS = f"""
import sys
from types import SimpleNamespace

import torch
from vllm.compilation.decorators import support_torch_compile

sys.modules["vllm.config"] = SimpleNamespace(VllmConfig=object)  # for an annotation
sys.path.insert(0, {str(EXAMPLES)!r})
from tiny_model.model import TinyModel


@support_torch_compile
class Example(TinyModel):
    def __init__(self):
        sizes = SimpleNamespace(vocab_size=32, hidden_size=8, num_hidden_layers=2)
        super().__init__(vllm_config=SimpleNamespace(model_config=SimpleNamespace(hf_config=sizes)))


def inputs(n):
    return {{"input_ids": torch.randint(32, (n,)), "positions": torch.arange(n)}}
"""


@pytest.mark.torch
@pytest.mark.parametrize(("captured", "wrong"), [(256, (2, 3, 7, 127, 129, 1000)), (100, (128, 256, 512))])
def test_example_is_silently_wrong(tmp_path: Path, captured: int, wrong: tuple[int, ...]) -> None:
    harness = tmp_path / "harness.py"
    harness.write_text(HARNESS)
    with Pool(jobs=1) as pool:
        result = pool.run(Job(path=str(harness), target="Example", trace_size=captured, standins=True))
    (answer,) = (outcome for outcome in result.outcomes if isinstance(outcome, WrongAnswer))
    assert answer.sizes == wrong
