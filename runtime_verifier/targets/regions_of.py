"""Builds what a job names: the regions that are to be captured."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.targets.regions import Region
from vllm_lint.runtime_verifier.worker import devices


def regions(job: Job) -> Iterator[Region]:
    """The compiled forwards of the target of `job`.

    Raises:
        TargetError: it cannot be built, or does not run without compilation either.
    """
    if "cudagraph" in job.backends:
        devices.require_gpu()
    if job.provider == "vllm":
        from vllm_lint.runtime_verifier.targets import vllm_regions

        yield from vllm_regions.regions(job.target, job.trace_size)
    elif job.provider == "harness":
        from vllm_lint.runtime_verifier.targets import harnesses as harness_target

        yield harness_target.region(job)
    elif job.provider == "transformers":
        from vllm_lint.runtime_verifier.targets import transformers_models as transformers_target

        yield devices.placed(transformers_target.region(job))
    else:
        from vllm_lint.runtime_verifier.targets import modules as module_target

        yield devices.placed(module_target.region(job))
