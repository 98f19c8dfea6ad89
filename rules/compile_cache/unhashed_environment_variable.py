"""VL501."""

from __future__ import annotations

from typing import ClassVar

from vllm_lint.analyzer.events import UnhashedInfluence
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.origins import ENVIRONMENT
from vllm_lint.analyzer.rule import Meta
from vllm_lint.rules.compile_cache.family import ONLY_VLLM, InfluenceRule


class UnhashedEnvironmentVariable(InfluenceRule):
    """An environment variable that decides what is compiled and is not in the key of the compile cache.

    ## What it flags

    A read of `os.environ`, `os.getenv`, `vllm.envs` or a plugin's own `envs` module whose value reaches compiled code,
    where a branch asks for it, it chooses what is called, or it becomes a constant of the graph. The read may stand in
    the constructor of a compiled module, in a helper, or at the top level of a module; that of `vllm.envs` in compiled
    code as well. The last steps of the finding say what it decides, and where vLLM leaves it out.

    A read of the environment in compiled code itself is VL601, which says both. It does not flag variables that vLLM
    hashes (all of `vllm.envs` but those that `compile_factors` ignores), variables that only decide to raise or to log
    while the model is built, `RANK` and `LOCAL_RANK` (each rank has a folder of its own in the cache), and Inductor's
    own `TORCHINDUCTOR_` variables.

    ## Why it matters

    vLLM keeps what it compiled under a hash of the configuration, its environment variables, and the traced source. A
    variable that is not among them may change while the key stays the same: the second start loads what was compiled
    for the old value. That gives wrong results, or a crash where weights are laid out for the new value.

    ## Example

    ```python
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.exact = os.environ.get("MY_PLUGIN_EXACT", "0") == "1"

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.float().softmax(-1).to(x.dtype) if self.exact else x.softmax(-1)
    ```

    ## Use instead

    Take the option from the configuration, which is hashed; a plugin's own options belong in `additional_config`:

    ```python
    class Scaled(nn.Module):
        def __init__(self, vllm_config: VllmConfig) -> None:
            super().__init__()
            self.exact = bool(vllm_config.additional_config.get("exact", False))
    ```

    In vLLM itself, define the variable in `vllm.envs` and keep it off the list that `compile_factors` ignores.

    ## Fix safety

    There is no automatic fix: where the value should come from is for the author to say.

    ## References

    - [vLLM: debugging the compile cache](https://docs.vllm.ai/en/latest/design/debug_vllm_compile.html)
    """

    meta = Meta(
        code="VL501",
        name="unhashed-environment-variable",
        promise=Promise.CACHE_KEY,
        severity=Severity.ERROR,
        proof="stale-artifact",
        contracts=ONLY_VLLM,
    )
    kind: ClassVar[str] = ENVIRONMENT

    def subject(self, event: UnhashedInfluence) -> str:
        """The variable."""
        return f"environment variable `{event.origin.name}`"

    def advice(self, event: UnhashedInfluence) -> str:
        """Take it from the configuration, or have vLLM hash it."""
        if event.origin.declared is not None:
            return "take it off that list"
        return "take the value from the configuration, such as `additional_config`, which is hashed"
