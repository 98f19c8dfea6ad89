"""VL502."""

from __future__ import annotations

from typing import ClassVar

from vllm_lint.analyzer.events import UnhashedInfluence
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.origins import FIELD
from vllm_lint.analyzer.rule import Meta
from vllm_lint.rules.compile_cache.family import ONLY_VLLM, InfluenceRule


class UnhashedConfigField(InfluenceRule):
    """A field of a configuration that decides what is compiled and that no `compute_hash` takes into account.

    ## What it flags

    A read of a configuration's field whose value reaches compiled code, where a branch asks for it, it chooses what is
    called, or it becomes a constant of the graph, and which is not hashed: the `compute_hash` of its class ignores it
    or leaves it out, or the configuration is one that `VllmConfig.compute_hash` leaves out as a whole. The same holds
    for a plugin's configuration with a `compute_hash` of its own. The read may stand in compiled code, in a
    constructor, or in a helper; the last steps of the finding say what it decides and where the hash leaves it out.

    It does not flag fields that are hashed by way of another configuration, ignored fields that are read for something
    else (names, checks, logging, sizes of caches), and the fields that number ranks, for each rank has a folder of its
    own in the cache.

    ## Why it matters

    vLLM keeps what it compiled under a hash of the configuration. Where a field that is not hashed changes, the key
    stays the same and the second start loads what was compiled for the old value: wrong results, or a crash where
    weights or buffers are laid out for the new one.

    ## Example

    ```python
    @config
    class PluginConfig:
        fast_gelu: bool = False

        def compute_hash(self) -> str:
            return hash_factors(get_hash_factors(self, {"fast_gelu"}))


    class Activation(nn.Module):
        def __init__(self, config: PluginConfig) -> None:
            super().__init__()
            self.fast = config.fast_gelu

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.sigmoid(1.702 * x) if self.fast else F.gelu(x)
    ```

    ## Use instead

    ```python
    @config
    class PluginConfig:
        fast_gelu: bool = False

        def compute_hash(self) -> str:
            return hash_factors(get_hash_factors(self, set()))
    ```

    ## Fix safety

    There is no automatic fix: a field may be left out for a reason that another place breaks.

    ## References

    - [vLLM: debugging the compile cache](https://docs.vllm.ai/en/latest/design/debug_vllm_compile.html)
    """

    meta = Meta(
        code="VL502",
        name="unhashed-config-field",
        promise=Promise.CACHE_KEY,
        severity=Severity.ERROR,
        proof="stale-artifact",
        contracts=ONLY_VLLM,
    )
    kind: ClassVar[str] = FIELD

    def subject(self, event: UnhashedInfluence) -> str:
        """The field."""
        return f"configuration field `{event.origin.name}`"

    def advice(self, event: UnhashedInfluence) -> str:
        """Have the hash hold it."""
        return f"have `compute_hash` take `{event.origin.name.rpartition('.')[2]}` into account"
