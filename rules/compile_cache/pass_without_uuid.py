"""VL504."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, PassDeclared
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule


class PassWithoutUuid(Rule):
    """A custom pass over Inductor's graphs whose uuid does not cover what it does.

    ## What it flags

    A class that derives from vLLM's `InductorPass` or torch's `CustomGraphPass`, where `__call__` reads an attribute
    that comes from an argument of the constructor and `uuid` takes neither the attribute nor anything else made of
    that argument; and a pass of torch without any `uuid`.

    It does not flag what comes from vLLM's configuration, which has a hash of its own; attributes that the uuid takes
    by name, by way of a method, or with the whole object; and attributes that only the constructor uses.

    ## Why it matters

    The uuid of a pass is part of the key under which compiled code is kept. By default vLLM makes it from the source of
    the class, which is the same for every instance: a pass that is built with another argument gives another graph
    under the same key, and the second start loads the code of the first. torch refuses to build a pass without a uuid.

    ## Example

    ```python
    class DropClamps(InductorPass):
        def __init__(self, limit: float) -> None:
            self.limit = limit

        def __call__(self, graph: fx.Graph) -> None:
            for node in graph.nodes:
                if node.target is aten.clamp.default and node.args[2] > self.limit:
                    node.replace_all_uses_with(node.args[0])
    ```

    ## Use instead

    ```python
    class DropClamps(InductorPass):
        def __init__(self, limit: float) -> None:
            self.limit = limit

        def uuid(self) -> str:
            return self.hash_source(self, str(self.limit))

        def __call__(self, graph: fx.Graph) -> None:
            for node in graph.nodes:
                if node.target is aten.clamp.default and node.args[2] > self.limit:
                    node.replace_all_uses_with(node.args[0])
    ```

    ## Fix safety

    There is no automatic fix: how a value is to be written into the uuid is for the author to say.

    ## References

    - [vLLM's inductor passes](https://docs.vllm.ai/en/latest/api/vllm/compilation/index.html)
    """

    meta = Meta(
        code="VL504",
        name="pass-without-uuid",
        promise=Promise.CACHE_KEY,
        severity=Severity.ERROR,
        proof="stale-artifact",
    )
    events: ClassVar[tuple[type[Event], ...]] = (PassDeclared,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report each attribute where it is set, and a pass without a uuid at its class."""
        assert isinstance(event, PassDeclared)
        if not event.has_uuid:
            yield Report(
                f"the pass `{event.class_name}` has no `uuid`, so torch cannot tell its results from those of others",
                help="have `uuid` hash the source of the pass and what it is built with",
            )
            return
        for attribute, argument, span in event.uncovered:
            of = "" if attribute == argument else f", which comes from the argument `{argument}`,"
            yield Report(
                f"the pass `{event.class_name}` reads `self.{attribute}`{of} but its `uuid` does not cover it",
                span=span,
                help=f"have `uuid` take `self.{attribute}` as well",
            )
