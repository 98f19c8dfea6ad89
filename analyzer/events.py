"""What the analysis observed, and rules judge."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_lint.analyzer.findings import Confidence, Edit, Span, Step
from vllm_lint.analyzer.origins import Origin


@dataclass(frozen=True, kw_only=True)
class Event:
    """One observation. `steps` lead from where the token count entered to `span`."""

    span: Span
    confidence: Confidence = Confidence.HIGH
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FileProblem(Event):
    """A file that could not be read or parsed. `kind` is "unreadable" or "unparsable"."""

    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SuppressionProblem(Event):
    """A suppression comment that does nothing, or does it without saying why.

    `kind` is "unused", "unknown-code" (names no rule that ran; it may be one that was not selected), "malformed" (names
    nothing), "no-reason" or "former-name" (a rule was once called so). `text` is the code or name as written, of a
    malformed comment its verb, and of one without reason all of it. `removal` is what to put in place of `comment`
    (empty to delete it).
    """

    kind: str
    text: str
    comment: Span
    removal: str


@dataclass(frozen=True, kw_only=True)
class Argument:
    """A parameter of a compiled root's forward. `dynamic` maps dimension to shape id ("" for none)."""

    name: str
    span: Span
    annotation: str
    tensor: bool
    """Whether the annotation, or the way it is used, says that a tensor is passed."""
    dynamic: dict[int, str]


@dataclass(frozen=True, kw_only=True)
class RootDeclared(Event):
    """A compiled root. `declared` is True where `dynamic_arg_dims` is given, so that nothing is inferred.

    `span` is the decorator (or the class name where there is none); `class_name` and `arguments` describe it.
    `unbacked` says that `mark_unbacked_dims` is given, `encoder` that the class is part of a multimodal encoder,
    `inherited` that a base class carries the decorator, `string_annotations` that annotations are not evaluated.
    `undecided` says that `dynamic_arg_dims` is given in a form that cannot be read.
    """

    class_name: str
    arguments: tuple[Argument, ...]
    declared: bool
    unbacked: bool
    encoder: bool
    inherited: bool
    string_annotations: bool
    undecided: bool = False


@dataclass(frozen=True, kw_only=True)
class UnresolvedRoot(Event):
    """A user-declared root, or a decorated class, of which no forward is found."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RegionEvent(Event):
    """Something seen in a compiled region. `text` is the source text that it is about.

    `conditional` means that it stands under a condition that is not decided, so that the capture may not trace it.
    """

    text: str
    conditional: bool = False


@dataclass(frozen=True, kw_only=True)
class SizeDecision(RegionEvent):
    """Python control flow decided by a size.

    `form` is the construct ("if", "while", "assert", "int()", ...); `changes_at` are token counts with the rarer
    answer among those tried; `only_raises` means that one arm does nothing but raise, so that a check is lost.
    `across_inputs` names the inputs when different sizes of several inputs are compared. `layout` means
    that it is not the size that is asked for but whether a view is contiguous.
    """

    form: str
    changes_at: tuple[int, ...]
    only_raises: bool = False
    across_inputs: tuple[str, ...] = ()
    layout: bool = False


@dataclass(frozen=True, kw_only=True)
class SizeSpecialization(RegionEvent):
    """A construct that pins a token count to the traced one. `form` says how ("range", "iteration", ...)."""

    form: str


@dataclass(frozen=True, kw_only=True)
class SizeDivision(RegionEvent):
    """A construct that needs a token count to be divisible. `divisor` is written as in the source."""

    form: str
    divisor: str


@dataclass(frozen=True, kw_only=True)
class RowsTaken(RegionEvent):
    """Rows are taken at fixed places of a dimension whose size changes, or as many as tokens of one that is fixed.

    `form` is "slice", "index", "split", "narrow", "topk", "squeeze" or "buffer". `rows` is how many there must be, or
    how many a buffer has.
    """

    form: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class UnboundedSize(RegionEvent):
    """An operation `form` that has to know something of a size that comes out of data, which nothing bounds."""

    form: str


@dataclass(frozen=True, kw_only=True)
class InputsCombined(RegionEvent):
    """Token dimensions of several inputs must be equal for an operation. `inputs` are the names of the arguments."""

    inputs: tuple[str, ...]
    declaration: Span | None = None
    """The decorator of the root, where shape ids are given."""
    shared: tuple[Edit, ...] = ()
    """Gives the inputs one shape id there."""


@dataclass(frozen=True, kw_only=True)
class TensorTruth(RegionEvent):
    """Python control flow on the value of a tensor. `form` as for `SizeDecision`."""

    form: str
    chosen: Edit | None = None
    """Has `torch.where` choose between two tensors instead."""


@dataclass(frozen=True, kw_only=True)
class DataDecision(RegionEvent):
    """Python control flow, or a loop bound or index, on a scalar that was read out of a tensor."""

    form: str


@dataclass(frozen=True, kw_only=True)
class HostSync(RegionEvent):
    """A tensor on the device of which the host needs the values, or how many there are.

    `form` is "scalar", "list", "copy" (to the CPU), "length" (of `nonzero` and the like), "mask" or "mask write".
    `number` is what is read: "int", "float", "bool", or "" where that is not known.
    """

    form: str
    number: str = ""


@dataclass(frozen=True, kw_only=True)
class HostCopy(RegionEvent):
    """A tensor that is kept on the CPU, not pinned, and is copied to the device."""


@dataclass(frozen=True, kw_only=True)
class StateChange(RegionEvent):
    """Something that outlives the call is bound anew or changed. `text` is how the source names it.

    `holder` is "attribute", "class attribute", "global", "closure" or "thread-local attribute". `change` is "bind", or
    of a container "grow", "shrink" or "store". `value` is what is bound or put in: "tensor", "size" (of the tokens),
    "constant", "same" (as it was), "scalar", "container", "object" or "unknown".
    """

    holder: str
    change: str
    value: str
    read: Span | None
    """Where compiled code reads it before it is bound, and so sees what the step before left."""
    derived: bool
    """Whether the new value is computed from the old one."""
    lazy: bool
    """Whether it is put there if there is nothing yet."""
    steers: bool
    """Whether the answer to that decides about more than what is put there."""
    from_input: bool
    """Whether it is computed from the data of an argument."""
    resized: bool
    """Whether the function asks how large the old one is."""
    registered: bool
    """Whether it is a buffer or parameter."""
    used: bool
    """Whether other code of the file reads it."""
    written: Edit | None = None
    """Has the statement write into the tensor that is there."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentRead(RegionEvent):
    """A read of the environment. `variable` is empty where the name is not known.

    `decides` means that the value is sure to decide what is compiled, and not to be in the key of the compile cache.
    """

    variable: str
    decides: bool = False


@dataclass(frozen=True, kw_only=True)
class StateHandedOver(RegionEvent):
    """A call of a custom operator that looks at `attribute` of an object, which the same call of forward has set."""

    attribute: str
    operator: str


@dataclass(frozen=True, kw_only=True)
class StepDecision(RegionEvent):
    """Python control flow on what vLLM sets anew for each step. `source` names it, `form` is as for `SizeDecision`."""

    source: str
    form: str


@dataclass(frozen=True, kw_only=True)
class DefaultDtypeSet(RegionEvent):
    """A call of `torch.set_default_dtype`."""


@dataclass(frozen=True, kw_only=True)
class LibraryCall(RegionEvent):
    """A call of something that is not part of the program, by its dotted name: `builtins.print`, `time.time`.

    `tensor` and `token` say whether an argument is a tensor or depends on a token count. `guarded` makes it run
    without compilation only, where it is a statement of its own that nothing depends on.
    """

    name: str
    tensor: bool = False
    token: bool = False
    guarded: Edit | None = None


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a custom operator or of one of its implementations.

    `type` is that of the schema ("Tensor", "int", "Tensor[]", "int?", ...), empty if it is not known; `default` is
    written as in the source, None where there is none.
    """

    name: str
    type: str
    default: str | None
    written: bool = False
    """Whether the operator declares to write to it."""
    by_keyword: bool = False
    """Whether it is passed by its name only."""


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """A function that implements a custom operator. `parameters` is None where it takes any."""

    name: str
    span: Span
    parameters: tuple[Parameter, ...] | None
    is_empty: bool
    """Whether its body does nothing and returns nothing."""
    raises: bool
    """Whether its body does nothing but raise."""


@dataclass(frozen=True, kw_only=True)
class OperatorRegistered(Event):
    """A custom operator that the file registers, or gives a fake implementation; `span` is where.

    `parameters` is None where the schema is not known. `returns` are the types of the results, None if not known.
    `defined` says that the file defines the operator, `composite` that it needs no fake implementation.
    """

    name: str
    parameters: tuple[Parameter, ...] | None
    returns: tuple[str, ...] | None
    real: tuple[Implementation, ...]
    fakes: tuple[Implementation, ...]
    defined: bool
    composite: bool
    undecided: bool
    """Whether a part of the registration could not be read."""
    again: tuple[Span, ...] = ()
    """Where the file defines it once more, whatever any condition says."""
    measured: bool = False
    """Whether a result that is a number is computed from sizes by a fake implementation."""
    faked: tuple[Edit, ...] = ()
    """Writes a fake implementation, where there is none and the real one shows how its result is made."""


@dataclass(frozen=True, kw_only=True)
class OperatorWrites(Event):
    """A custom operator writes to an argument that it does not declare as written; `how` says by what."""

    name: str
    argument: str
    how: str
    declared: Edit | None = None
    """Has the registration name the argument."""


@dataclass(frozen=True, kw_only=True)
class OperatorReturnsArgument(Event):
    """A custom operator returns memory of an argument, or, with `argument` empty, of another result of its own.

    `maybe` says that it may be a copy; `fake` that only its fake implementation does that.
    """

    name: str
    argument: str
    maybe: bool
    fake: bool
    copied: Edit | None = None
    """Has it return a copy."""


@dataclass(frozen=True, kw_only=True)
class FakeDisagrees(Event):
    """Real and fake implementation of an operator never return the same; `aspect` says in what they differ."""

    name: str
    aspect: str
    real: str
    fake: str


@dataclass(frozen=True, kw_only=True)
class ImplementationDecides(Event):
    """An implementation that is traced decides by the number of rows of an argument.

    `form` is the construct, `fake` whether it is the fake implementation.
    """

    name: str
    text: str
    form: str
    fake: bool


@dataclass(frozen=True, kw_only=True)
class FakeReadsData(Event):
    """A fake implementation asks for the value of a tensor."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class UnhashedInfluence(RegionEvent):
    """Something that the cache key does not hold decides what the graph is.

    `form` says how: a construct of control flow ("if", "and", ...), "call" where it chooses what is called, or
    "argument" where it becomes a constant of the graph.
    """

    origin: Origin
    form: str


@dataclass(frozen=True, kw_only=True)
class HashDeclared(Event):
    """A configuration with a `compute_hash` of its own; `span` is its first line.

    `left_out` are fields that it neither takes nor says to ignore; `ignored` are names that it says to ignore, and
    `strangers` those of them that are no fields, with their places. `is_constant` means that it takes nothing of the
    object at all; `says_nothing` that it hashes a list that it leaves empty.
    """

    class_name: str
    fields: tuple[str, ...]
    left_out: tuple[str, ...]
    ignored: tuple[str, ...]
    strangers: tuple[tuple[str, Span], ...]
    is_constant: bool
    says_nothing: bool


@dataclass(frozen=True, kw_only=True)
class PassDeclared(Event):
    """A custom pass over Inductor's graphs; `span` is the head of its class.

    `uncovered` are attributes that it reads and its uuid leaves out: the name, the argument of the constructor that it
    comes from, and where the constructor sets it. `has_uuid` says that it has a uuid, its own or one by its source.
    """

    class_name: str
    has_uuid: bool
    uncovered: tuple[tuple[str, str, Span], ...]
