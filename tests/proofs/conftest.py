"""One pool for all captures of a test run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from tests.proofs.cases import Case
from vllm_lint.runtime_verifier.outcomes import Result
from vllm_lint.runtime_verifier.pool import Pool


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    with Pool(jobs=2) as pool:
        yield pool


@pytest.fixture(scope="session")
def result_of(pool: Pool, request: pytest.FixtureRequest) -> Callable[[Case], Result]:
    """Results of the fixture cases; those of all selected tests are under way from the start."""
    futures: dict[str, Future[Result]] = {}

    def submit(case: Case) -> Future[Result]:
        if case.id not in futures:
            futures[case.id] = pool.submit(case.job)
        return futures[case.id]

    for item in request.session.items:
        callspec = getattr(item, "callspec", None)
        for value in callspec.params.values() if callspec else ():
            for case in value if isinstance(value, tuple) else (value,):
                if isinstance(case, Case):
                    submit(case)
    return lambda case: submit(case).result()
