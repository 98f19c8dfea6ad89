"""Stands in for packages that vLLM imports and no model calls, in every process with this folder on its path.

They parse tool calls and constrain output; a machine that serves requests has them.
"""

from __future__ import annotations

import sys

from vllm_lint.runtime_verifier.targets.vllm_models import standin_packages

ABSENT = (
    "anthropic",
    "llguidance",
    "lmformatenforcer",
    "mcp",
    "mistral_common",
    "openai_harmony",
    "outlines_core",
    "xgrammar",
)

sys.meta_path.append(standin_packages._Finder(frozenset(ABSENT)))
