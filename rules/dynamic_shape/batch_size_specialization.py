"""VL202."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, SizeSpecialization
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.dynamic_shape.family import ONLY_VLLM

#: What is said of the source text, and what to do about it, by the form of the event.
_FORMS = {
    "range": ("makes one round for each token", "write the loop as one operation on the whole tensor"),
    "iteration": ("makes one round for each row of tokens", "write the loop as one operation on the whole tensor"),
    "unbind": ("makes one tensor for each row of tokens", "work on the whole tensor"),
    "unpacking": (
        "unpacks the dimension that is marked as dynamic",
        "if another dimension holds the tokens, as in M-RoPE positions, declare it in `dynamic_arg_dims`",
    ),
    "list repetition": ("makes a list with an item for each token", "make a tensor with `torch.full`"),
    "dict key": ("looks up the number of tokens in a dict", "look it up while the model is built, or index a tensor"),
    "set element": ("looks up the number of tokens in a set", "use a list or a tuple, and a custom operator to decide"),
    "list.index": ("searches a list for the number of tokens", "use `torch.bucketize` on a buffer"),
    "list slice": ("cuts a Python list at the number of tokens", "slice a tensor"),
    "index": ("indexes a Python list by the number of tokens", "index a tensor"),
    "f-string": ("formats the number of tokens into a text", "leave it out, or format it outside the compiled code"),
    "as_tensor": ("makes a constant of the number of tokens", "use `torch.full`"),
    "linspace": ("needs the number of steps as a constant", "compute it from `torch.arange`"),
    "max_pool1d": ("is written for plain integers", "use `max_pool2d` on a tensor with one more dimension"),
    "associative_scan": (
        "is unrolled in Python for the captured length",
        'scan with `combine_mode="pointwise"` on a GPU, or in a custom operator',
    ),
    "bit_length": ("needs the number of tokens as a constant", "decide on it in a custom operator"),
}
_MATH = ("needs the number of tokens as a constant", "use the operation of torch on a tensor")
_FIXED = (
    "gives the token dimension a fixed size",
    "take the size from the tensor, or slice what it meets to that size",
)
_DEFAULT = ("needs the number of tokens as a constant", "use an operation that takes the size as it is")


class BatchSizeSpecialization(Rule):
    """Code that needs the number of tokens to be one constant.

    ## What it flags

    - `range(n)`, iteration over a tensor, `zip` of tensors, `unbind`, comprehensions over any of these
    - `[0] * n`, the number of tokens as key of a dict, element of a set or index of a list, and in an f-string
    - a token dimension that meets a fixed size: `x.view(256, -1)`, `x + torch.ones(256, 1)`, `x.shape == (256, 8)`
    - `math.log(n)`, `n.bit_length()`, `torch.linspace(0, 1, n)` and others that compute with a plain integer
    - `max_pool1d` along the tokens, and `associative_scan(..., combine_mode="generic")`, which Python unrolls

    It does not flag `torch.arange(n)`, `torch.zeros(n)`, `x.view(n, -1)`, arithmetic on `n`, or loops over static
    dimensions, layers and lists of tensors.

    ## Why it matters

    The number of tokens becomes the one of the captured batch. vLLM marks the dimension as dynamic, so TorchDynamo
    raises `ConstraintViolationError` and the server does not start. The error names the argument and seldom the line.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = [x[i] * self.decay**i for i in range(x.shape[0])]
        return torch.stack(rows)
    ```

    ## Use instead

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(x.shape[0], device=x.device)
        return x * self.decay ** steps[:, None]
    ```

    A loop that cannot be written as one operation belongs into a custom operator.

    ## Fix safety

    There is no automatic fix: the code has to be written another way.

    ## References

    - [Dynamic shapes in torch.compile](https://docs.pytorch.org/docs/stable/user_guide/torch_compiler/torch.compiler_dynamic_shapes.html)
    """

    meta = Meta(
        code="VL202",
        name="batch-size-specialization",
        promise=Promise.ALL_SIZES,
        severity=Severity.ERROR,
        proof="specialized, replay-failed, wrong-answer",
        lifecycle=Lifecycle(stable="0.1.0"),
        contracts=ONLY_VLLM,
    )
    events: ClassVar[tuple[type[Event], ...]] = (SizeSpecialization,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every specialization."""
        assert isinstance(event, SizeSpecialization)
        what, advice = _FORMS.get(event.form, _DEFAULT)
        if event.form.startswith("math."):
            what, advice = _MATH
        elif event.form == "shape comparison" or event.form.endswith("fixed size"):
            what, advice = _FIXED
        yield Report(f"`{event.text}` {what}, which pins it to the captured batch", help=advice)
