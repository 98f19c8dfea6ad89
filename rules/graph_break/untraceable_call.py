"""VL105."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call

_OF_SIZES = ("builtins.", "math.")
#: What is said where it is not the call itself that cannot be traced.
_SAYS = {
    "torch.Generator.draw": "draws from a generator of its own",
    "torch._check": "has a message that is no constant",
    "torch.distributed.async_op": "does not wait for the other ranks",
    "builtins.id": "compares the identity of an object that is made in the graph",
    "builtins.id.returned": "returns the identity of an object that is made in the graph",
    "builtins.super": "calls `super` with one argument",
    "dataclasses.fields": "asks a class, and no object of it, for its fields",
    "torch.compiler.assume_constant_result": "hands something that is no constant to an `assume_constant_result`",
    "builtins.hasattr": "asks for an attribute of something that has none while the graph is captured",
    "ctypes.Structure.__setattr__": "sets a field of a C structure",
    "decimal.Decimal.__add__": "computes with a `Decimal`, which is written in C",
    "object.__getattr__": "is looked up by a `__getattr__` that is no plain function",
    "traceback.tb_lasti": "asks a traceback for the position in the bytecode",
}


class UntraceableCall(GraphBreakRule):
    """A call of something that TorchDynamo cannot look into.

    ## What it flags

    Calls of parts of the standard library that are written in C or that act on the world: `time`, `datetime`,
    writing `os.environ`, files and processes, `subprocess`, `json`, `pickle`, `hashlib`, `zlib`, `uuid`, `gc`,
    `random`, `importlib`, `bisect`, `copy.copy`, frames and tracebacks, `ctypes`; of torch's seeds, generators and
    generator states, threads, DLPack, copies of tensors by `copy`, and communication that does not wait or is
    between two ranks; `re.finditer`, `hasattr` of a number that was read out of a tensor, of a compiled pattern and
    of a caught error, attributes that a `__getattr__` finds which is no plain function, fields of C structures and
    arithmetic on `Decimal`, `tb_lasti` of a traceback, `dataclasses.fields` of a class, the `id` of an object that
    compiled code makes where it is compared or returned, `super` of one argument, and functions under
    `assume_constant_result` on what is no constant; and of `divmod`, `sorted`, `hex` and integer functions of
    `math` on the number of tokens, `pow` of a tensor, and `torch._check` with a message that tells a size.

    The list is data (`analyzer/untraceable.py`), measured on the torch version below. It does not flag what TorchDynamo
    does trace: `re`, `itertools`, `functools`, `operator`, `os.path.join`, most of `math`, copies by method
    (`dict.copy`, `list`), and reading `os.environ`. Where configuration decides whether the call is reached, the
    finding has medium confidence and is a warning.

    ## Why it matters

    Each of these breaks the graph (GB0007 and its kin), so vLLM does not start. If it could be captured, it would
    run once, during the capture, and its result would be a constant from then on: a clock that stands still, one random
    number for every step.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        started = time.perf_counter()
        x = self.layer(x)
        self.seconds = time.perf_counter() - started
        return x
    ```

    ## Use instead

    Do it outside the compiled region: in `__init__` if the result does not change, around the call of the model if it
    does.

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)
    ```

    `torch.bucketize` on a buffer stands in for `bisect`, `torch.rand` for `random`, `dict(d)` for `copy.copy(d)`,
    `n // k` and `n % k` for `divmod(n, k)`. What must run in every step belongs into a custom operator.

    ## Fix safety

    There is no automatic fix: where the call belongs is a matter of design.

    ## References

    - [Graph break GB0007](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0007.html)
    - [Custom operators in Python](https://docs.pytorch.org/tutorials/advanced/python_custom_ops.html)
    """

    meta = Meta(
        code="VL105",
        name="untraceable-call",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        lifecycle=Lifecycle(stable="0.1.0"),
        graph_breaks=(
            "GB0007",
            "GB0046",
            "GB0055",
            "GB0059",
            "GB0088",
            "GB0150",
            "GB0156",
            "GB0172",
            "GB0180",
            "GB0193",
            "GB0207",
            "GB0208",
            "GB0256",
            "GB0280",
            "GB0288",
            "GB0292",
            "GB0363",
            "GB0808",
            "GB1750",
            "GB2078",
            "GB2520",
            "GB2696",
            "GB3343",
            "GB3697",
            "GB4198",
            "GB4501",
            "GB4818",
            "GB5687",
            "GB7650",
            "GB9158",
            "GB9193",
            "GB9300",
            "GB9316",
            "GB9493",
            "GB9625",
            "GB9840",
            "GB9860",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every call that is no output and no logging."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "call":
            said = _SAYS.get(event.name)
            if said is None:
                of = " of the number of tokens" if event.token and event.name.startswith(_OF_SIZES) else ""
                said = f"calls `{event.name.removeprefix('builtins.')}`{of}"
            yield report_call(
                event,
                f"`{event.text}` {said}, which TorchDynamo cannot trace",
                "do it while the model is built or around the compiled call, or in a custom operator",
            )
