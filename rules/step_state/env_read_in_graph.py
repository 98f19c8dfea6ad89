"""VL601."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import EnvironmentRead, Event
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.step_state.family import DROPS_GUARDS, judged


class EnvReadInGraph(Rule):
    """A read of the environment in compiled code.

    ## What it flags

    `os.getenv`, `os.environ[...]`, `os.environ.get` and `in os.environ` in compiled code, and a module of settings that
    reads the environment anew for each access (a module-level `__getattr__`).

    It does not flag `vllm.envs`: vLLM fixes those variables when its workers start, and has them in the key of its
    compile cache. What is read while a module is imported or a model is built is the matter of VL501, which says
    nothing of reads in compiled code.

    It is an error where the value decides what is compiled and the key of the compile cache does not hold it, else a
    warning.

    ## Why it matters

    TorchDynamo takes the value for a constant. For `os.getenv` it does not even make a guard, and vLLM drops those that
    it makes for the others. A change has no effect until the model is compiled again; and since the key of vLLM's
    compile cache does not know the variable, not then either: the next start with another value finds the old graph in
    the cache.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if os.getenv("SCALE_INPUTS"):
            x = x * self.scale
        return self.layer(x)
    ```

    ## Use instead

    Take it from the configuration, which is part of the key of the compile cache; a plugin's own options belong in
    `additional_config`.

    ```python
    def __init__(self, vllm_config: VllmConfig) -> None:
        super().__init__()
        self.scales_inputs = bool(vllm_config.additional_config.get("scale_inputs", False))
    ```

    ## Fix safety

    There is no automatic fix: where the value belongs is a matter of design.

    ## References

    - [vLLM's environment variables](https://docs.vllm.ai/en/latest/configuration/env_vars.html)
    - [vLLM's integration of torch.compile](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    """

    meta = Meta(
        code="VL601",
        name="env-read-in-graph",
        promise=Promise.NO_STEP_STATE,
        severity=Severity.WARNING,
        proof="wrong-answer, state-guard",
        contracts=DROPS_GUARDS,
    )
    events: ClassVar[tuple[type[Event], ...]] = (EnvironmentRead,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every read."""
        assert isinstance(event, EnvironmentRead)
        name = f"`{event.variable}`" if event.variable else "the environment"
        yield judged(
            event,
            f"`{event.text}` reads {name} once, during the capture; graph and compile cache keep what it was then",
            "take it from the configuration, such as `additional_config`, which is hashed",
            Severity.ERROR if event.decides else self.meta.severity,
        )
