"""VL505."""

from __future__ import annotations

from typing import ClassVar

from vllm_lint.analyzer.events import UnhashedInfluence
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.origins import MACHINE
from vllm_lint.analyzer.rule import Meta
from vllm_lint.rules.compile_cache.family import ONLY_VLLM, InfluenceRule


class MachineDependentConstant(InfluenceRule):
    """A fact about the machine that decides what is compiled and is not in the key of the compile cache.

    ## What it flags

    A value that comes from the machine and reaches compiled code, where a branch asks for it, it chooses what is
    called, or it becomes a constant of the graph: the number of processors, threads or devices, free device memory,
    the name and kind of the host. It is mostly a constant at the top of a module, or an attribute that a constructor
    sets. Which files and packages are installed makes a warning.

    It does not flag what goes with the name of the device, such as its compute capability, since the key holds that
    name; nor what only decides to raise or to log.

    ## Why it matters

    A compile cache moves: it is kept in an image, on a shared disk, or survives an upgrade. Where the machine decides
    what is compiled and the key does not hold how, another machine, or the same one after a change, loads code that was
    compiled for other facts.

    ## Example

    ```python
    NUM_SPLITS = os.cpu_count() or 1


    class Split(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack(x.tensor_split(NUM_SPLITS, dim=-1)[:2]).sum(0)
    ```

    ## Use instead

    Decide once and put the decision into the configuration, which is hashed:

    ```python
    class Split(nn.Module):
        def __init__(self, vllm_config: VllmConfig) -> None:
            super().__init__()
            self.splits = int(vllm_config.additional_config["num_splits"])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack(x.tensor_split(self.splits, dim=-1)[:2]).sum(0)
    ```

    or have a custom operator ask, which is not traced.

    ## Fix safety

    There is no automatic fix: where the decision belongs is for the author to say.

    ## References

    - [vLLM: debugging the compile cache](https://docs.vllm.ai/en/latest/design/debug_vllm_compile.html)
    """

    meta = Meta(
        code="VL505",
        name="machine-dependent-constant",
        promise=Promise.CACHE_KEY,
        severity=Severity.ERROR,
        proof="stale-artifact",
        contracts=ONLY_VLLM,
    )
    kind: ClassVar[str] = MACHINE

    def subject(self, event: UnhashedInfluence) -> str:
        """What is asked of the machine."""
        return f"`{event.origin.name}`"

    def advice(self, event: UnhashedInfluence) -> str:  # noqa: ARG002  one signature
        """Ask once, or where nothing is traced."""
        return "put what follows from it into the configuration, which is hashed, or ask for it in a custom operator"
