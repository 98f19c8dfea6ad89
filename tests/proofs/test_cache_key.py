"""What the key of vLLM's compile cache holds, shown with real vLLM and a real capture."""

from __future__ import annotations

import importlib.util
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.proofs.cache_keys import Facts, facts, held_by_vllm
from tests.proofs.cases import Case, all_cases
from vllm_lint.analyzer.cache_key import CacheKey
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.questions import Disk
from vllm_lint.analyzer.values import Class

CASES = [(case, change) for case in all_cases() for change in case.changes]
pytestmark = [pytest.mark.vllm, pytest.mark.torch]


#: Fields that vLLM hashes by way of another configuration, or only for some values.
ELSEWHERE = {
    ("KernelConfig", "linear_backend_per_quant"),
    ("ModelConfig", "hf_overrides"),
    ("MultiModalConfig", "language_model_only"),
    ("MultiModalConfig", "video_pruning_method"),
    ("MultiModalConfig", "video_pruning_rate"),
    ("SpeculativeConfig", "draft_model_config"),
    ("SpeculativeConfig", "enable_adaptive_verification"),
    ("SpeculativeConfig", "method"),
}


@pytest.fixture(scope="module")
def context() -> multiprocessing.context.BaseContext:
    """Makes children of one process that has imported vLLM."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["vllm.compilation.caching", "torch._inductor.compile_fx", "tests.proofs.cache_keys"]
    )
    return context


@pytest.fixture(scope="module")
def facts_of(context: multiprocessing.context.BaseContext) -> Callable[[Case, str], Facts]:
    """Asks a fresh child; what is asked twice is remembered."""
    known: dict[tuple[str, str], Facts] = {}

    def ask(case: Case, change: str) -> Facts:
        if (case.id, change) not in known:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                known[case.id, change] = pool.submit(facts, str(case.path), case.name, change).result(timeout=300)
        return known[case.id, change]

    return ask


@pytest.mark.parametrize(("case", "change"), CASES, ids=[f"{case.id} {change}" for case, change in CASES])
def test_only_a_flagged_case_gives_another_graph_under_the_same_key(
    case: Case, change: str, facts_of: Callable[[Case, str], Facts]
) -> None:
    key, graph = facts_of(case, "")
    other_key, other_graph = facts_of(case, change)
    assert (key == other_key and graph != other_graph) == case.path.stem.startswith("flagged"), (graph, other_graph)


def test_the_key_is_read_from_the_source_as_vllm_makes_it(context: multiprocessing.context.BaseContext) -> None:
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        hashed, configurations = pool.submit(held_by_vllm).result(timeout=300)
    found = importlib.util.find_spec("vllm")
    assert found is not None
    assert found.origin is not None
    root = Path(found.origin).parent.parent
    project = Project([root / "vllm/envs.py"], [root], search_installed=False, base=root, disk=Disk())
    interpreter = Interpreter(project)
    key = CacheKey(interpreter)

    assert len(hashed) > 100
    assert {name for name in hashed if key.environment(name, by_vllm=True) is not None} == set()
    unhashed = {"VLLM_PORT", "VLLM_LOGGING_LEVEL", "CUDA_VISIBLE_DEVICES", "MAX_JOBS"}
    assert not unhashed & hashed
    assert all(key.environment(name, by_vllm=True) is not None for name in unhashed)

    module = project.module("vllm.config")
    assert module is not None
    assert len(configurations) > 10
    different = set()
    for name, fields in configurations.items():
        value = interpreter.module_attribute(module, name)
        assert isinstance(value, Class)
        for field, counts in fields.items():
            if (key.field(value.cls, field) is None) != counts:
                different.add((name, field))
    assert different <= ELSEWHERE, different
