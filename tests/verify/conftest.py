"""One pool for the providers, and a way to verify a few lines of source."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import Result
from vllm_lint.runtime_verifier.pool import Pool

Verify = Callable[..., Result]
_IMPORTS = "import torch\nfrom torch import nn\n"


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    with Pool(jobs=2) as pool:
        yield pool


@pytest.fixture
def verify(pool: Pool, tmp_path: Path) -> Verify:
    """Verifies the thing called M, or as `target` says, of a file with the given source."""

    def run(source: str, **options: Any) -> Result:
        path = tmp_path / "model.py"
        path.write_text(_IMPORTS + textwrap.dedent(source))
        return pool.run(Job(**{"path": str(path), "target": "M", "standins": True, "trace_size": 96, **options}))

    return run
