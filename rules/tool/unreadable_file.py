"""VL001."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, FileProblem
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule


class UnreadableFile(Rule):
    """A file that was to be checked and could not be read.

    ## What it flags

    A file without read permission, a dangling or circular link, a file whose bytes do not fit its encoding (UTF-8, or
    what its coding comment says), a folder that cannot be listed, and a notebook that was named as a path.

    ## Why it matters

    Nothing in the file was checked, and calls into it could not be followed, so a clean report would say too much.

    ## Example

    ```python
    # coding: utf-9
    HIDDEN_SIZE = 4096
    ```

    ## Use instead

    ```python
    # coding: utf-8
    HIDDEN_SIZE = 4096
    ```

    Give the file a readable encoding and permissions, leave it out with `exclude`, or convert a notebook to a
    `.py` file.

    ## Fix safety

    There is no automatic fix.

    ## References

    - [PEP 263, defining Python source code encodings](https://peps.python.org/pep-0263/)
    """

    meta = Meta(
        code="VL001",
        name="unreadable-file",
        promise=Promise.TOOL,
        severity=Severity.ERROR,
        proof="static only, because the file never reaches Python",
        lifecycle=Lifecycle(stable="0.1.0"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (FileProblem,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report files of kind "unreadable"."""
        assert isinstance(event, FileProblem)
        if event.kind == "unreadable":
            yield Report(f"cannot read this file: {event.reason}", help="nothing in it was checked")
