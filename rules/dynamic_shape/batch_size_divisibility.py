"""VL204."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, SizeDivision
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.dynamic_shape.family import ONLY_VLLM

_PIECES = {"chunk", "tensor_split", "split"}


class BatchSizeDivisibility(Rule):
    """A shape that exists only where something divides the number of tokens.

    ## What it flags

    `view`, `reshape` and `unflatten` that need the number of tokens to be a multiple of something, such as
    `x.view(-1, 4, 8)` of a tensor with 8 columns; `chunk`, `tensor_split` and `split` along the tokens, whose number or
    lengths of pieces depend on the number of tokens.

    It does not flag views that split or join static dimensions, views of a tensor that was padded or cut to a multiple
    (`x[: n // 4 * 4].view(-1, 4, 8)`), or `x.view(n, -1)`. Where a width is not visible in the source the finding
    has medium confidence.

    ## Why it matters

    TorchDynamo leaves a guard (`n % 4 == 0`), and vLLM drops it. At another number of tokens the replay fails with an
    error that does not name the line, or Inductor returns a truncated result where eager would raise. With `split` the
    number of pieces is frozen, and what a larger batch has more is lost.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        return x.view(-1, 4, 1024).mean(1)
    ```

    ## Use instead

    Pad to a multiple, by an amount that may be zero:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        x = F.pad(x, (0, 0, 0, -x.shape[0] % 4))
        return x.view(-1, 4, 1024).mean(1)
    ```

    Sequence parallelism does this before the model is entered: then the number of tokens is a multiple already,
    and a suppression with that reason is right.

    ## Fix safety

    There is no automatic fix: what to do with the rest of a batch is a matter of the model.

    ## References

    - [Dynamic shapes and vLLM's guards](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    """

    meta = Meta(
        code="VL204",
        name="batch-size-divisibility",
        promise=Promise.ALL_SIZES,
        severity=Severity.ERROR,
        proof="shape-guard, check-lost, wrong-answer, replay-failed, runtime-assert, unbacked-error",
        lifecycle=Lifecycle(stable="0.1.0"),
        contracts=ONLY_VLLM,
    )
    events: ClassVar[tuple[type[Event], ...]] = (SizeDivision,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every division."""
        assert isinstance(event, SizeDivision)
        if event.form in _PIECES:
            divisor = f" by {event.divisor}" if event.divisor else ""
            message = (
                f"`{event.text}` cuts the tokens{divisor}: vLLM keeps the number and lengths of the captured pieces"
            )
        else:
            multiple = f"a multiple of {event.divisor}" if event.divisor else "divisible"
            message = f"`{event.text}` needs the number of tokens to be {multiple}, and vLLM drops the guard"
        yield Report(message, help="pad the tokens to a multiple first, by `-n % k`, which may be zero")
