"""VL108."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call

_SAYS = {
    "builtins.__build_class__": "`class` defines a type",
    "functools.cached_property": "`{text}` may compute a cached property, which takes a lock before Python 3.12,",
    "torch.utils.hooks.RemovableHandle.remove": "`{text}` removes a hook that was registered before",
    "typing.Generic": "`{text}` makes an object of a parametrized class",
    "object.__class__": "`{text}` changes the type of an object",
}


class ObjectBuiltInGraph(GraphBreakRule):
    """An object built in a compiled forward that TorchDynamo cannot build.

    ## What it flags

    In compiled code: a `class` statement, `nn.Parameter(...)`, layers that have parameters (`nn.Linear(...)`),
    pydantic models, typed dicts with `total=False`, `types.SimpleNamespace`, registering a forward hook, or
    removing one that was registered before, calling a generic class with its parameter (`Box[int]`),
    `load_state_dict`, and assigning `__class__`. Also reading a `functools.cached_property`: the first time takes a
    lock on Python before 3.12 (a warning, since it may have been read before; none where the constructor reads it).

    It does not flag dataclasses, named tuples, enums, objects of ordinary classes, layers without parameters
    (`nn.SiLU()`), `register_buffer` or tensors.

    ## Why it matters

    A parameter or a class that is made in each step is new each time, and TorchDynamo has nothing to give the graph
    for it (GB0264, GB8977): vLLM does not start. Apart from that the weights would be drawn anew in every step.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = nn.Parameter(torch.ones(x.shape[-1]))
        return x * scale
    ```

    ## Use instead

    Build it once, in `__init__`:

    ```python
    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size))


    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale
    ```

    A dataclass stands in for a pydantic model or a namespace; read a cached property once in `__init__`.

    ## Fix safety

    There is no automatic fix: the object has to move to another method.

    ## References

    - [Graph break GB0264](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0264.html)
    - [Graph break GB8977](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb8977.html)
    """

    meta = Meta(
        code="VL108",
        name="object-built-in-graph",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=(
            "GB0013",
            "GB0075",
            "GB0116",
            "GB0142",
            "GB0147",
            "GB0156",
            "GB0208",
            "GB0226",
            "GB0227",
            "GB0228",
            "GB0229",
            "GB0235",
            "GB0237",
            "GB0257",
            "GB0264",
            "GB0467",
            "GB3383",
            "GB4271",
            "GB8977",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "object":
            says = _SAYS.get(event.name, "`{text}` builds or changes an object").format(text=event.text)
            yield report_call(
                event,
                f"{says} while the graph is captured, which TorchDynamo cannot trace",
                "do it while the model is built",
            )
