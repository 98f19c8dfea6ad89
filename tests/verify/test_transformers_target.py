"""Models of transformers by their model type."""

from __future__ import annotations

import pytest

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed
from vllm_lint.runtime_verifier.pool import Pool

pytestmark = pytest.mark.vllm  # which brings transformers


@pytest.mark.parametrize(
    ("model_type", "name"), [("llama", "LlamaForCausalLM"), ("t5", "T5Model"), ("vit", "ViTModel")]
)
def test_a_model_type_is_captured(pool: Pool, model_type: str, name: str) -> None:
    result = pool.run(Job(provider="transformers", target=model_type, trace_size=13, sizes=(1, 5), timeout=120))
    (part,) = result.parts
    assert part.name == name
    assert not any(isinstance(o, EagerFailed) for o in result.outcomes)
    assert part.replayed == (1, 5, 13)


def test_a_model_type_that_does_not_exist(pool: Pool) -> None:
    (outcome,) = pool.run(Job(provider="transformers", target="lama")).outcomes
    assert isinstance(outcome, EagerFailed)
    assert outcome.message == "transformers has no model type 'lama'; did you mean 'llama'?"
