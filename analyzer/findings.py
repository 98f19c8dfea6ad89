"""What an analysis produces: findings and the errors met on the way.

Every renderer, the cache and the verifier read this one model. All positions count from 1; columns count
Unicode code points, and `end_column` is the first column after the span.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec


class Severity(str, Enum):
    """How bad the broken promise is when the finding is true."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the most severe."""
        return list(Severity).index(self)


class Confidence(str, Enum):
    """How sure the analysis is that the finding is true; a separate axis from severity."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for the most certain."""
        return list(Confidence).index(self)


class Promise(str, Enum):
    """The six promises that vLLM model code keeps, and `TOOL` for findings about the input of the tool itself."""

    CAPTURE = "C1"
    ALL_SIZES = "C2"
    NO_STEP_STATE = "C3"
    HONEST_OPERATORS = "C4"
    REPLAYABLE = "C5"
    CACHE_KEY = "C6"
    TOOL = "tool"

    @property
    def phrase(self) -> str:
        """The promise in a few words."""
        return _PROMISE_PHRASES[self]


Verdict = Literal["confirmed", "refuted", "not reached", "not run", "undecided"]
"""What a run has to say about a finding: it shows it; it shows the opposite; it does not show that it came there; it
cannot show such a thing; it shows a condition of which nobody can tell at which sizes it holds."""


_PROMISE_PHRASES = {
    Promise.CAPTURE: "capturable as one full graph",
    Promise.ALL_SIZES: "right for every number of tokens",
    Promise.NO_STEP_STATE: "no state that changes between steps",
    Promise.HONEST_OPERATORS: "custom operators declare what they do",
    Promise.REPLAYABLE: "replayable as a CUDA graph",
    Promise.CACHE_KEY: "compile cache key is complete",
    Promise.TOOL: "readable by vllm-lint",
}


class Contract(str, Enum):
    """What a compiled root promises its caller, and so which rules bind inside it."""

    VLLM = "vllm"
    """`support_torch_compile`: full graph, guards dropped, CUDA graphs, compile cache."""
    FULLGRAPH = "fullgraph"
    """`torch.compile(fullgraph=True)`: a graph break is an error, a guard only recompiles."""
    COMPILE = "compile"
    """Plain `torch.compile`: graph breaks cost speed."""


class Span(msgspec.Struct, frozen=True, order=True):
    """A stretch of source text."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int


class Step(msgspec.Struct, frozen=True):
    """One step on the path from the token count to the decision."""

    span: Span
    message: str


class Edit(msgspec.Struct, frozen=True):
    """Replace the text of `span` by `replacement`."""

    span: Span
    replacement: str


Proof = Literal["proved", "rejected", "not run"]
"""What a run has to say about a fix: with it the code is captured and does what it did; it is not, or does something
else; nothing was run that comes there."""


class Fix(msgspec.Struct, frozen=True):
    """A change that repairs the finding. `safe` keeps behaviour, `unsafe` may not.

    `proof` is None where no run was looked at; `reason` says what the run showed, or why there was none.
    """

    title: str
    safety: Literal["safe", "unsafe"]
    edits: tuple[Edit, ...]
    proof: Proof | None = None
    reason: str = ""

    @property
    def label(self) -> str:
        """Safety and proof in a few words: `safe, proved`."""
        return f"{self.safety}, {self.proof}" if self.proof else self.safety

    def may_be_applied(self, *, unsafe: bool) -> bool:
        """Whether to apply it; `unsafe` says that unsafe fixes are asked for, which are then held to their proof."""
        if self.proof == "rejected" or (self.proof == "not run" and self.safety == "unsafe"):
            return False
        return unsafe or self.safety == "safe"


class Root(msgspec.Struct, frozen=True, order=True):
    """A compiled entry point, such as `LlamaModel.forward` of a decorated class."""

    name: str
    path: str
    line: int
    contract: Contract


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One place that breaks a promise. `root` is None for findings about the input itself (VL0xx).

    `verdict` is None where no run was looked at; `evidence` says for each run what it shows.
    """

    code: str
    name: str
    severity: Severity
    confidence: Confidence
    promise: Promise
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    message: str
    help: str = ""
    root: Root | None = None
    steps: tuple[Step, ...] = ()
    fixes: tuple[Fix, ...] = ()
    verdict: Verdict | None = None
    evidence: tuple[str, ...] = ()

    @property
    def span(self) -> Span:
        """The place the finding points at."""
        return Span(self.path, self.line, self.column, self.end_line, self.end_column)

    @property
    def sort_key(self) -> tuple[str, int, int, str]:
        """Source order."""
        return (self.path, self.line, self.column, self.code)


ErrorKind = Literal["rule", "fix", "target", "run"]
"""What was not done, or not all of it: a rule crashed, a file was not fixed, a target not verified; or anything else
that only costs time or detail."""


class ToolError(msgspec.Struct, frozen=True):
    """Something that went wrong in the tool or its input and did not stop the run."""

    message: str
    path: str | None = None
    rule: str | None = None
    kind: ErrorKind = "run"

    @property
    def fails(self) -> bool:
        """Whether it makes the exit status 2: something that was asked for was not done."""
        return self.kind in ("rule", "fix")
