"""VL002."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, FileProblem
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule


class UnparsableFile(Rule):
    """A file that is not valid for the Python that runs vllm-lint.

    ## What it flags

    A syntax error, Python 2 code, NUL bytes, and code nested too deeply for Python's parser. The position is the
    parser's.

    ## Why it matters

    Nothing in the file was checked, and calls into it could not be followed, so a clean report would say too much.

    ## Example

    ```python
    def forward(self, x)
        return x
    ```

    ## Use instead

    ```python
    def forward(self, x):
        return x
    ```

    If the file is right and only newer than the Python named in the message, run vllm-lint with that newer Python.

    ## Fix safety

    There is no automatic fix.

    ## References

    - [The Python language reference](https://docs.python.org/3/reference/)
    """

    meta = Meta(
        code="VL002",
        name="unparsable-file",
        promise=Promise.TOOL,
        severity=Severity.ERROR,
        proof="static only, because Python cannot run the file",
        lifecycle=Lifecycle(stable="0.1.0"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (FileProblem,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report files of kind "unparsable"."""
        assert isinstance(event, FileProblem)
        if event.kind == "unparsable":
            yield Report(f"cannot parse this file: {event.reason}", help="nothing in it was checked")
