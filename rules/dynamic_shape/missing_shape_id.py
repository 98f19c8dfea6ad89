"""VL206."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, InputsCombined
from vllm_lint.analyzer.findings import Promise, Severity, Step
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule, offered
from vllm_lint.rules.dynamic_shape.family import ONLY_VLLM
from vllm_lint.rules.wording import quoted


class MissingShapeId(Rule):
    """Arguments with a row for each token that are not declared to be of one length.

    ## What it flags

    A root whose code needs the token dimensions of several arguments to be equal, by comparing them or by a view of one
    with the length of another, and whose `dynamic_arg_dims` does not give them a common shape id. The finding
    stands at the decorator; its last step is the place that needs the equality.

    It does not flag elementwise operations on two arguments, which unbacked sizes survive, arguments whose lengths
    never meet, and roots with one dynamic argument.

    ## Why it matters

    With `dynamic_shapes_config.type=unbacked`, the setting that rules out branches on sizes, each dimension gets a
    symbol of its own unless two share a shape id. Code that must know that two symbols are equal then fails with a
    data-dependent error, far from the decorator (rotary embeddings are where it usually shows). Under vLLM's default
    the symbols are taken to be equal because their values are during capture; that is why this is a warning.

    ## Example

    ```python
    @support_torch_compile
    class Decoder(nn.Module):
        def forward(self, positions: torch.Tensor, qkv: torch.Tensor) -> torch.Tensor:
            query, key, value = qkv.split(128, dim=-1)
            return query.view(positions.shape[0], -1, 64)
    ```

    ## Use instead

    ```python
    @support_torch_compile(dynamic_arg_dims={"positions": {0: "tokens"}, "qkv": {0: "tokens"}})
    class Decoder(nn.Module):
        def forward(self, positions: torch.Tensor, qkv: torch.Tensor) -> torch.Tensor:
            query, key, value = qkv.split(128, dim=-1)
            return query.view(positions.shape[0], -1, 64)
    ```

    Shape ids need torch 2.11.

    ## Fix safety

    Safe: the arguments get one shape id in `dynamic_arg_dims`, which counts under `dynamic_shapes_config.type=unbacked`
    only. Where the decorator says nothing, all that vLLM would infer is written out. None is offered for a decorator of
    a base class, for dims in another form than a dict of numbers, and for one with further options and no dims.

    ## References

    - [vLLM's support_torch_compile](https://docs.vllm.ai/en/latest/api/vllm/compilation/decorators.html)
    - [vLLM's dynamic shapes](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    """

    meta = Meta(
        code="VL206",
        name="missing-shape-id",
        promise=Promise.ALL_SIZES,
        severity=Severity.WARNING,
        proof="unbacked-error",
        lifecycle=Lifecycle(stable="0.1.0"),
        torch=">=2.11",
        fix="safe",
        contracts=ONLY_VLLM,
    )
    events: ClassVar[tuple[type[Event], ...]] = (InputsCombined,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report the root once, whichever of its code needs the equality."""
        assert isinstance(event, InputsCombined)
        names = quoted(event.inputs)
        place = Step(event.span, f"`{event.text}` needs the lengths of {names} to be equal")
        yield Report(
            f"the code needs {names} to have equal lengths, which no common shape id says: "
            "it fails under `dynamic_shapes_config.type=unbacked`",
            span=event.declaration,
            steps=(*event.steps, place),
            help='give their token dimensions one shape id in `dynamic_arg_dims`, such as `{0: "tokens"}`',
            fixes=offered("give them one shape id", "safe", *event.shared),
        )
