"""VL115."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call

_SAYS = {
    "numpy.ndarray.objects": "is an array whose elements no tensor can hold",
    "numpy.ufunc": "calls a method of a function or class of numpy",
}


class UnsupportedNumpy(GraphBreakRule):
    """A function of numpy that TorchDynamo cannot translate.

    ## What it flags

    Functions of numpy that torch has no counterpart for, such as `np.interp`, `np.isin`, `np.nanmean`,
    `np.vectorize`, `np.random.default_rng` and files, methods of arrays such as `tobytes` and `tofile`, methods of
    numpy's functions (`np.add.reduce`), methods of `np.ndarray` called as functions, `np.finfo` of an array, and
    reading an array of texts or objects that the module holds.

    It does not flag the functions that TorchDynamo translates to torch (`np.sqrt`, `np.arange`, `np.concatenate`), or
    numpy outside compiled code. Sizes handed to numpy are a matter of `batch-size-specialization`.

    ## Why it matters

    TorchDynamo runs numpy code on torch tensors, through a translation that covers a part of numpy. The rest breaks
    the graph (GB0294), and vLLM does not start. (On a GPU numpy means a copy to the host, whatever the function.)

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(np.nanmean([1.0, 2.0]))
    ```

    ## Use instead

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mean
    ```

    Compute constants while the model is built, and everything else with torch.

    ## Fix safety

    There is no automatic fix: the computation has to be written with torch.

    ## References

    - [Graph break GB0294](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0294.html)
    """

    meta = Meta(
        code="VL115",
        name="unsupported-numpy",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=(
            "GB0157",
            "GB0158",
            "GB0185",
            "GB0250",
            "GB0290",
            "GB0294",
            "GB0300",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "numpy":
            says = _SAYS.get(event.name, f"calls `{event.name}`")
            yield report_call(
                event,
                f"`{event.text}` {says}, which TorchDynamo cannot translate to torch",
                "use torch, or compute it while the model is built",
            )
