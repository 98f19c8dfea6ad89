"""VL208."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, RowsTaken
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.dynamic_shape.family import ONLY_VLLM

_ROWS = "and vLLM drops the guard on that"
#: How a message ends, how severe the finding is where eager would raise too, and what to do.
_FORMS = {
    "slice": (f"takes {{rows}} rows for granted, {_ROWS}", Severity.ERROR, "end the slice at `min(n, k)`"),
    "index": (
        f"takes {{rows}} rows for granted, {_ROWS}",
        Severity.WARNING,
        "index from an end that every batch has, or with a tensor",
    ),
    "split": (f"takes {{rows}} rows for granted, {_ROWS}", Severity.WARNING, "end the first piece at `min(n, k)`"),
    "narrow": (f"takes {{rows}} rows for granted, {_ROWS}", Severity.WARNING, "give `min(n, k)` as length"),
    "topk": (f"takes {{rows}} rows for granted, {_ROWS}", Severity.WARNING, "give `min(n, k)` as `k`"),
    "squeeze": (
        "drops the token dimension of a batch of one token, and vLLM captures that it stays",
        Severity.WARNING,
        "name the dimension that is always one",
    ),
    "buffer": (
        "takes as many rows as there are tokens, of {rows}, and vLLM drops the guard on that",
        Severity.WARNING,
        "make the buffer as long as the largest batch (`max_num_batched_tokens`)",
    ),
}


class ConstantTokenIndex(Rule):
    """Rows at fixed places of the token dimension, which smaller batches do not have.

    ## What it flags

    - `x[:64]`, `x[64:]`, `x[-64:]`, `x[:-64]` and `x[2:4]` along the tokens, or along anything computed from their
      number, such as `torch.arange(n)[:64]`
    - `x[5]`, `x[-2]`, `x.select(0, 5)`, `x.narrow(0, 0, 64)`, `x.split([64, n - 64])`, `x.topk(5, dim=0)`: a warning,
      since eager code raises for such a batch as well
    - `buffer[:n]` of a buffer of less than 8,192 rows: a warning of medium confidence, for how many tokens a batch may
      have is a setting (`max_num_batched_tokens`)
    - `x.squeeze()` and `x.squeeze(0)` along the tokens: a warning, for one token only is the shape another

    It does not flag `x[0]`, `x[-1]`, `x[:1]`, `x[1:]`, `x[: min(n, 64)]`, `x[: n // 2]`, writing to a slice, rows of
    what was padded to have them, or places that configuration gives.

    ## Why it matters

    TorchDynamo captures `x[:64]` of a large batch as "64 rows" and leaves the guard `n >= 64`, which vLLM drops. For 7
    tokens Inductor's code then returns 64 rows of a tensor with 7: it reads what lies behind. Eager code, and the
    captured graph without Inductor, return 7 rows, so nothing of this shows with `enforce_eager`.

    `squeeze` leaves no guard at all: TorchDynamo takes the number of tokens to be two at least.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x[:64].mean(0)
    ```

    ## Use instead

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x[: min(x.shape[0], 64)].mean(0)
    ```

    ## Fix safety

    There is no automatic fix: what a smaller batch needs is for the author to say.

    ## References

    - [Dynamic shapes and vLLM's guards](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    """

    meta = Meta(
        code="VL208",
        name="constant-token-index",
        promise=Promise.ALL_SIZES,
        severity=Severity.ERROR,
        proof="wrong-answer, check-lost, replay-failed, shape-guard, runtime-assert",
        contracts=ONLY_VLLM,
    )
    events: ClassVar[tuple[type[Event], ...]] = (RowsTaken,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report all rows that some batch may lack."""
        assert isinstance(event, RowsTaken)
        what, severity, advice = _FORMS[event.form]
        yield Report(f"`{event.text}` {what.format(rows=event.rows)}", severity=severity, help=advice)
