"""Tiny random models of vLLM's architectures, built and called as vLLM does. Imported by worker processes only."""

from vllm_lint.runtime_verifier.targets.vllm_models import standin_packages

standin_packages.install()  # before any module here imports transformers
