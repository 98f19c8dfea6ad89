"""`python -m vllm_lint.cli` is `vllm-lint`."""

from __future__ import annotations

from vllm_lint.cli.main import run

run()
