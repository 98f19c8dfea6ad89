"""VL503."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, HashDeclared
from vllm_lint.analyzer.findings import Confidence, Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.wording import quoted

#: More fields than this are counted, not named.
_NAMED_FIELDS = 3


class IncompleteComputeHash(Rule):
    """A `compute_hash` that does not account for every field of its configuration.

    ## What it flags

    The `compute_hash` of a dataclass that names the fields it takes and passes over others without a word; one that
    returns the same whatever the fields are; and a list of ignored fields with a name that is no field, which is an
    error of writing if a field that is not ignored has nearly that name.

    It does not flag a hash that goes through all fields but for a list of those it ignores, which says of each field
    whether it counts, nor an empty list of factors, by which vLLM's own configurations say that no field does.
    Whether an ignored field reaches compiled code after all is for `unhashed-config-field` to find.

    ## Why it matters

    A hash that names what it takes forgets every field that is added later: nobody has to decide whether a new field
    changes the graph. Once it does, the second start loads what was compiled for another value. A misspelt name in a
    list of ignored fields makes vLLM compile again where it need not.

    ## Example

    ```python
    @config
    class PluginConfig:
        tile: int = 128
        approximate: bool = False

        def compute_hash(self) -> str:
            return safe_hash(str([self.tile]).encode()).hexdigest()
    ```

    ## Use instead

    ```python
    @config
    class PluginConfig:
        tile: int = 128
        approximate: bool = False

        def compute_hash(self) -> str:
            ignored_factors: set[str] = set()
            return hash_factors(get_hash_factors(self, ignored_factors))
    ```

    ## Fix safety

    There is no automatic fix: which fields count is for the author to say.

    ## References

    - [vLLM: debugging the compile cache](https://docs.vllm.ai/en/latest/design/debug_vllm_compile.html)
    """

    meta = Meta(
        code="VL503",
        name="incomplete-compute-hash",
        promise=Promise.CACHE_KEY,
        severity=Severity.WARNING,
        proof="stale-artifact",
    )
    events: ClassVar[tuple[type[Event], ...]] = (HashDeclared,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report what a hash leaves open, and names that it does not mean."""
        assert isinstance(event, HashDeclared)
        if event.is_constant and not event.says_nothing:
            yield Report(
                f"`{event.class_name}.compute_hash` returns the same whatever the fields of `{event.class_name}` are",
                help="hash the fields, or an empty list of factors if none of them can change what is compiled",
            )
        elif event.left_out and not event.is_constant:
            yield Report(
                f"`{event.class_name}.compute_hash` takes some fields and passes over {_in_words(event.left_out)} "
                "without saying that they are ignored",
                confidence=Confidence.MEDIUM,
                help="go through all fields but for a list of those that are ignored",
            )
        for name, span in event.strangers:
            meant = difflib.get_close_matches(
                name, [f for f in event.fields if f not in event.ignored], n=1, cutoff=0.8
            )
            yield Report(
                f"`{name}` is to be ignored, but `{event.class_name}` has no such field"
                + (f", so `{meant[0]}` is hashed" if meant else ""),
                span=span,
                severity=None if meant else Severity.NOTE,
                help=f"write `{meant[0]}`" if meant else "remove the name",
            )


def _in_words(names: tuple[str, ...]) -> str:
    if len(names) <= _NAMED_FIELDS:
        return quoted(names)
    return f"{len(names)} others, such as `{names[0]}`,"
