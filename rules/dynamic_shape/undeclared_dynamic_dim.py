"""VL205."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Argument, Event, RootDeclared
from vllm_lint.analyzer.findings import Confidence, Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.dynamic_shape.family import ONLY_VLLM


class UndeclaredDynamicDim(Rule):
    """A tensor argument of a compiled forward that vLLM does not mark as dynamic.

    ## What it flags

    Under a bare `@support_torch_compile`, vLLM marks the arguments that are annotated as `torch.Tensor`,
    `torch.FloatTensor` or `IntermediateTensors`, each also `| None`, and compares the annotations for equality. The
    rule flags tensor arguments that this leaves out: other tensor types (`torch.LongTensor`), unions with anything
    but None, a list or tuple of tensors, annotations that are strings (in quotes, or by `from __future__ import
    annotations`), and arguments without annotation that are used like a tensor. A subclass is compiled too, with what
    was inferred for the class that carries the decorator, so the rule flags tensors that only its own forward takes.

    With `dynamic_arg_dims`, nothing is inferred. Tensor arguments that are missing there are warnings of medium
    confidence: their size may be fixed, or they may be None wherever the model runs compiled. The rule flags a class
    for which nothing at all is dynamic.

    It does not flag scalars (`int | torch.Tensor`, `max_seqlen`), and it does not see tensors that enter through the
    forward context or an object.

    ## Why it matters

    The size of the captured batch is baked into the graph. If the argument meets a marked one, capture fails with
    `ConstraintViolationError`. If it does not, nothing fails, and every other batch gets wrong numbers. Where nothing
    is dynamic, the decorator raises `ValueError` when the module is imported.

    ## Example

    ```python
    @support_torch_compile
    class Decoder(nn.Module):
        def forward(self, input_ids: torch.LongTensor, hidden: torch.Tensor) -> torch.Tensor:
            return self.embed(input_ids) + hidden
    ```

    ## Use instead

    ```python
    @support_torch_compile
    class Decoder(nn.Module):
        def forward(self, input_ids: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
            return self.embed(input_ids) + hidden
    ```

    or, which works with every annotation:

    ```python
    @support_torch_compile(dynamic_arg_dims={"input_ids": {0: "tokens"}, "hidden": {0: "tokens"}})
    class Decoder(nn.Module):
        def forward(self, input_ids: torch.LongTensor, hidden: torch.Tensor) -> torch.Tensor:
            return self.embed(input_ids) + hidden
    ```

    For M-RoPE positions of shape (3, n) the dimension is -1.

    ## Fix safety

    There is no automatic fix: only the author knows which dimension varies.

    ## References

    - [vLLM's support_torch_compile](https://docs.vllm.ai/en/latest/api/vllm/compilation/decorators.html)
    """

    meta = Meta(
        code="VL205",
        name="undeclared-dynamic-dim",
        promise=Promise.ALL_SIZES,
        severity=Severity.ERROR,
        proof="specialized, wrong-answer, decorator-error",
        lifecycle=Lifecycle(stable="0.1.0"),
        contracts=ONLY_VLLM,
    )
    events: ClassVar[tuple[type[Event], ...]] = (RootDeclared,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report a root without dynamic dimensions, or else each tensor argument without."""
        assert isinstance(event, RootDeclared)
        if event.undecided:
            return
        if not any(argument.dynamic for argument in event.arguments):
            yield Report(
                f"nothing in the forward of `{event.class_name}` is dynamic: the decorator raises ValueError on import",
                help="annotate the tensor arguments as `torch.Tensor`, unquoted, or give `dynamic_arg_dims`",
            )
            return
        for argument in event.arguments:
            if argument.tensor and not argument.dynamic:
                yield _report(argument, event)


def _report(argument: Argument, event: RootDeclared) -> Report:
    name, annotation = argument.name, argument.annotation
    advice = f'annotate it as `torch.Tensor`, or give `dynamic_arg_dims`, with `"{name}": 0`'
    confidence = Confidence.MEDIUM
    severity = None
    if event.declared:
        reason = f"`{name}` is missing in `dynamic_arg_dims`"
        advice = f'add `"{name}": 0`, or the dimension that varies'
        severity = Severity.WARNING
    elif event.inherited:
        reason = f"the decorated base class does not make `{name}` dynamic"
        advice = f'annotate it as `torch.Tensor` there, or decorate this class too, with `"{name}": 0`'
        confidence = Confidence.HIGH if annotation else Confidence.MEDIUM
    elif not annotation:
        reason = f"`{name}` has no annotation"
    elif event.string_annotations or annotation[0] in "'\"":
        reason = f"the annotation of `{name}` is a string"
        confidence = Confidence.HIGH
    else:
        reason = f"`{name}` is annotated as `{annotation}`, which vLLM does not recognise"
        if not any(mark in annotation for mark in "[|"):
            confidence = Confidence.HIGH
    message = f"{reason}, so its size during capture is baked into the graph"
    return Report(message, span=argument.span, confidence=confidence, severity=severity, help=advice)
