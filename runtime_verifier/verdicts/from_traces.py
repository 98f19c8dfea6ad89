"""Turns the evidence of a trace into findings: what it shows is harmful, in the user's terms, at the user's line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from vllm_lint.analyzer.findings import Confidence, Contract, Finding, Promise, Root, Severity, Span, Step, Verdict
from vllm_lint.runtime_verifier.outcomes import Place
from vllm_lint.runtime_verifier.trace.constraints import readable_source
from vllm_lint.runtime_verifier.trace.evidence import Compilation, Failure, Guard
from vllm_lint.runtime_verifier.trace.size_guards import Judgement, judge

BRANCH, SPECIALIZED, ZERO_ONE, DIVISIBILITY, DATA_BRANCH = "VL201", "VL202", "VL203", "VL204", "VL102"
UNDECLARED, MISSING_SHAPE_ID, ACROSS_INPUTS, TOKEN_INDEX = "VL205", "VL206", "VL207", "VL208"
UNDECLARED_MUTATION, OUTPUT_ALIASES_INPUT, FAKE_DISAGREES = "VL304", "VL305", "VL306"
HOST_SYNC = "VL401"
#: The rule about calls that cannot be traced, which names most of torch's ids.
CALL = "VL105"
#: Code of a capture that failed for a reason that is neither a break with an id of torch's nor about sizes.
FAILED = "capture-failed"
#: Dynamo leaves the capture of a function that holds nothing to capture; eager runs it, and nothing is lost.
_NO_FAILURE = ("SkipFrame", "SkipCodeRecursiveException")
#: Words in names of rules that do not tell what a break is about.
_GENERAL_WORDS = frozenset(
    {"call", "function", "graph", "in", "object", "op", "tensor", "unsupported", "untraceable", "value"}
)
_NAMED_SIZES = 3
_DATA_DEPENDENT = re.compile(r"data-dependent expression (.+?) \(unhinted")
#: "graph break in loop": the frame is left because of another break, which is told too where it can be.
_ECHO = "GB7000"


class Sources(Protocol):
    """What the caller knows of the traced files."""

    def locate(self, place: Place) -> Span:
        """Where a place of the trace is on this machine, as findings name it."""

    def locate_line(self, line: tuple[str, int]) -> Span:
        """The same for a path and a line."""

    def function_lines(self, span: Span) -> tuple[int, int]:
        """First and last line of the function that a span is in; of the span itself where it is in none."""

    def qualified(self, place: Place) -> str:
        """The name of the function at `place`, with its class where that can be told."""


@dataclass(frozen=True)
class RuleFacts:
    """What there is to know of a rule. A contract without a severity allows what the rule is about."""

    code: str
    name: str
    promise: Promise
    severities: Mapping[Contract, Severity]
    graph_breaks: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """One thing that one capture shows."""

    code: str
    stack: tuple[Place, ...]
    message: str
    evidence: str
    help: str = ""
    verdict: Verdict = "confirmed"
    name: str = ""
    """Name in place of a rule's."""
    promise: Promise = Promise.CAPTURE
    """The promise that is broken, where no rule says so."""


def contract_of(compilation: Compilation) -> Contract:
    """vLLM's, unless the trace shows that guards were kept."""
    return Contract.COMPILE if compilation.keeps_guards else Contract.VLLM


def find(
    compilations: Iterable[tuple[str, Compilation]], rules: Mapping[str, RuleFacts], sources: Sources
) -> Iterator[Finding]:
    """What each compilation shows, with the name of its log."""
    for log, compilation in compilations:
        for shown in _shown(compilation, rules):
            yield finding_of(shown, compilation, log, rules, sources)


def merge(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding for what several captures show, in source order."""
    merged: dict[tuple[str, str, int], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.path, finding.line)
        known = merged.get(key)
        merged[key] = finding if known is None else _merge(known, finding)
    told = {(path, line) for code, path, line in merged if code != _ECHO}
    kept = (f for (code, *place), f in merged.items() if code != _ECHO or tuple(place) not in told)
    return tuple(sorted(kept, key=lambda finding: finding.sort_key))


def _merge(known: Finding, other: Finding) -> Finding:
    """One finding of two, as severe as the more severe. The first speaks unless only the other is certain."""
    first, second = sorted((known, other), key=lambda f: f.verdict == "undecided")
    severe = second if second.severity.rank < first.severity.rank else first
    return msgspec.structs.replace(
        first,
        severity=severe.severity,
        root=severe.root,
        evidence=tuple(dict.fromkeys((*known.evidence, *other.evidence))),
        steps=first.steps or second.steps,
    )


def finding_of(
    shown: Shown, compilation: Compilation, log: str, rules: Mapping[str, RuleFacts], sources: Sources
) -> Finding:
    """The finding for what one compilation shows."""
    contract = contract_of(compilation)
    rule = rules.get(shown.code)
    severity = rule.severities.get(contract) if rule else None
    if severity is None:  # no rule, or it does not bind under this contract
        severity = Severity.WARNING if contract is Contract.COMPILE else Severity.ERROR
    place = shown.stack[-1] if shown.stack else compilation.root
    assert place is not None, "what has no place is not shown"
    span = sources.locate(place)
    is_decided = shown.verdict == "confirmed"
    return Finding(
        code=shown.code,
        name=shown.name or (rule.name if rule else shown.code),
        severity=severity if is_decided else Severity.WARNING,
        confidence=Confidence.HIGH if is_decided else Confidence.LOW,
        promise=rule.promise if rule else shown.promise,
        path=span.path,
        line=span.line,
        column=span.column,
        end_line=span.end_line,
        end_column=span.end_column,
        message=shown.message,
        help=shown.help,
        root=root_of(compilation, sources),
        steps=tuple(
            Step(sources.locate(caller), f"calls `{callee.function}`")
            for caller, callee in zip(shown.stack, shown.stack[1:], strict=False)
        ),
        verdict=shown.verdict,
        evidence=(f"{origin(log, compilation)}: {shown.evidence}",),
    )


def root_of(compilation: Compilation, sources: Sources) -> Root | None:
    """The captured function; None if the trace does not say."""
    if compilation.root is None:
        return None
    at = sources.locate(compilation.root)
    return Root(sources.qualified(compilation.root), at.path, at.line, contract_of(compilation))


def origin(log: str, compilation: Compilation) -> str:
    """Which compilation, for people: `x.log, rank 0, compilation 0/0`."""
    rank = "" if compilation.rank is None else f", rank {compilation.rank}"
    number = f", compilation {compilation.compile_id}" if compilation.compile_id else ""
    return f"{log}{rank}{number}"


def _shown(compilation: Compilation, rules: Mapping[str, RuleFacts]) -> Iterator[Shown]:
    # A plain torch.compile that marks no dim compiles once more for another size, and is right.
    about_sizes = contract_of(compilation) is Contract.VLLM or compilation.is_marked
    shown: list[Shown] = []
    if about_sizes:
        specialized = list(_specialized(compilation))
        taken = {s.stack[-1] for s in specialized if s.stack}
        shown += [*specialized, *(s for s in _guards(compilation) if s.stack[-1] not in taken)]
    for found in compilation.breaks:
        if expression := _DATA_DEPENDENT.search(found.reason):
            shown.append(_data_dependent(compilation, expression[1], found.stack, found.reason))
        else:
            shown.append(_break(found.reason, found.stack, "a graph break", rules))
    if compilation.failure is not None and compilation.failure.kind not in _NO_FAILURE:
        shown += _failure(compilation, compilation.failure, rules, has_size_findings=bool(shown))
    yield from (s for s in shown if s.stack or compilation.root is not None)


def _guards(compilation: Compilation) -> Iterator[Shown]:
    """One for each line and each way to ask, since one expression may leave several guards."""
    by_line: dict[tuple[Place, str], list[Judgement]] = {}
    for judgement in judge(compilation):
        if judgement.is_harmful:
            guard = judgement.guard
            by_line.setdefault((guard.stack[-1], guard.origin), []).append(judgement)
    for (_, asked_by), judgements in by_line.items():
        yield _guard(compilation, judgements, asked_by)


def _guard(compilation: Compilation, judgements: Sequence[Judgement], asked_by: str) -> Shown:
    decided = [j for j in judgements if not j.undecided]
    speaking = next((j for j in decided if j.is_divisibility), None) or (decided or judgements)[0]
    stack = speaking.guard.stack
    expressions = tuple(dict.fromkeys(j.expression for j in judgements))
    tokens = f" for the captured size {speaking.hint}" if speaking.hint is not None else ""
    others = len(expressions) - 1
    more = f", and {others} more condition{'' if others == 1 else 's'} on this line" if others else ""
    fate = _fate(compilation, speaking.guard)
    if not decided:
        return Shown(
            BRANCH,
            stack,
            f"`{speaking.expression}` was found true during capture, and nothing tells for which sizes it is",
            f"`{speaking.expression}` held{tokens}{more}; {fate}",
            "see whether it can be false for a batch of another size",
            "undecided",
        )
    failing = tuple(sorted({n for j in decided for n in j.fails_at}))
    evidence = f"`{speaking.expression}` held{tokens}{more}; {fate}"
    sizes = f"it is false for {_sizes(failing)}"
    if set(failing) <= {0, 1}:
        code, message = ZERO_ONE, f"`{speaking.expression}` was decided once, during capture"
    elif asked_by == "operation" and speaking.is_divisibility:
        code, message = (
            DIVISIBILITY,
            f"an operation needs `{speaking.expression}`, of which only the captured batch is known",
        )
    elif asked_by == "operation":
        code, message = (
            BRANCH,
            f"an operation took `{speaking.expression}` for granted, as it was in the captured batch",
        )
    else:
        both = " and ".join(f"`{e}`" for e in expressions[:2])
        code, message = BRANCH, f"{both} {'was' if len(expressions) == 1 else 'were'} decided once, during capture"
    return Shown(
        code, stack, message, evidence, f"{sizes}; compute what is right for all, or decide in a custom operator"
    )


def _fate(compilation: Compilation, guard: Guard) -> str:
    if any(compilation.symbols[s].unbacked for s in compilation.symbols if re.search(rf"\b{s}\b", guard.text)):
        return "the captured graph asserts it"
    if compilation.keeps_guards:
        return "this run kept the guard and compiles again for other sizes; vLLM drops it"
    return "the guard was dropped" if compilation.keeps_guards is False else "vLLM drops the guard"


def _sizes(failing: Sequence[int]) -> str:
    named = ", ".join(map(str, failing[:_NAMED_SIZES]))
    if len(failing) > _NAMED_SIZES:
        return f"sizes such as {named}"
    return f"{'size' if len(failing) == 1 else 'sizes'} {named}"


def _specialized(compilation: Compilation) -> Iterator[Shown]:
    """One for each value; the symbols that followed have no stack of their own."""
    by_value: dict[str, list[tuple[str, tuple[Place, ...]]]] = {}
    for event in compilation.specialized:
        by_value.setdefault(event.value, []).append((event.symbol, event.stack))
    for value, events in by_value.items():
        stack = next((stack for _, stack in events if stack), ())
        names = [compilation.symbols[s].name for s, _ in events if s in compilation.symbols]
        if not names:
            continue
        listed = " and ".join(f"`{name}`" for name in dict.fromkeys(names))
        yield Shown(
            SPECIALIZED,
            stack,
            f"{listed} became the constant {value}, the size of the captured batch",
            f"{listed} became {value}",
            "write it as an operation on the whole tensor, or take the size from the tensor",
        )


def _failure(
    compilation: Compilation, failure: Failure, rules: Mapping[str, RuleFacts], *, has_size_findings: bool
) -> Iterator[Shown]:
    text, stack = failure.reason, failure.stack
    if expression := _DATA_DEPENDENT.search(text):
        yield _data_dependent(compilation, expression[1], stack, text)
    elif failure.kind == "ConstraintViolationError":
        # Its cause is among the guards and specialisations, which know their line.
        if not has_size_findings:
            yield from _violations(text, stack)
    elif _break_id(text):
        yield _break(text, stack, f"the capture failed with {failure.kind}", rules)
    else:
        first = _first_line(text)
        message = f"{failure.kind}: {first}" if first else failure.kind
        yield Shown(FAILED, stack, f"the capture failed: {message}", f"the capture failed with {failure.kind}")


def _data_dependent(compilation: Compilation, expression: str, stack: tuple[Place, ...], text: str) -> Shown:
    said = compilation.readable(expression)
    known = [compilation.symbols.get(s) for s in re.findall(r"\b(?:u|z|zf|zuf)\d+\b", expression)]
    evidence = f"the capture failed, since `{said}` is not known then"
    if any(symbol is None or not symbol.source for symbol in known):
        return Shown(
            DATA_BRANCH,
            stack,
            "what is in a tensor decides this, and the capture cannot know it",
            evidence,
            "use `torch.where`, or decide in a custom operator",
        )
    if "specialized integer" in text:
        message = f"needs `{said}` as a constant, and the number of tokens is none"
        return Shown(SPECIALIZED, stack, message, evidence, "write it as an operation on the whole tensor")
    message = f"`{said}` has no answer that holds for every number of tokens"
    return Shown(BRANCH, stack, message, evidence, "compute what is right for all, or decide in a custom operator")


def _violations(text: str, stack: tuple[Place, ...]) -> Iterator[Shown]:
    pattern = r"You marked (.+?) as dynamic but your code specialized it to be a constant \((\d+)\)"
    for source, value in re.findall(pattern, text):
        message = f"`{readable_source(source)}` became the constant {value}, the size of the captured batch"
        yield Shown(SPECIALIZED, stack, message, "the capture failed with ConstraintViolationError")
    for guard in re.findall(r"satisfy the generated guard (.+?)\.?$", text, re.MULTILINE):
        message = f"`{readable_source(guard)}` does not hold for every number of tokens that was declared"
        yield Shown(BRANCH, stack, message, "the capture failed with ConstraintViolationError")


def _break(text: str, stack: tuple[Place, ...], what: str, rules: Mapping[str, RuleFacts]) -> Shown:
    number = _break_id(text)
    first = _first_line(text)
    context = re.search(r"Developer debug context: ([^<\n]{1,100})(?:, skip reason.*)?$", text, re.MULTILINE)
    said = f"{first[:1].lower()}{first[1:]}{f' ({context[1]})' if context else ''}"
    told = re.search(r"Developer debug context: (.*)$", text, re.MULTILINE)
    rule = _rule_about(number, f"{first} {told[1] if told else ''}", rules)
    if "jump with SymNodeVariable" in text:  # a number out of a tensor, not a tensor
        rule = rules.get(DATA_BRANCH, rule)
    return Shown(
        code=rule.code if rule else number or "graph-break",
        name="" if rule else "graph-break",
        stack=stack,
        message=f"Dynamo cannot trace this: {said}",
        help=" ".join(re.findall(r"^\s*Hint: (.+)$", text, re.MULTILINE)[:1]).rstrip("."),
        evidence=f"{what} ({number})" if number else what,
    )


def _rule_about(number: str, said: str, rules: Mapping[str, RuleFacts]) -> RuleFacts | None:
    """The rule that a break is about: of those that name its id, the one whose subject is named, else the widest."""
    words = set(re.findall(r"[a-z]+", said.lower())) - _GENERAL_WORDS
    if "warnings" in words:
        words.add("logging")
    candidates = {rule.code: rule for rule in rules.values() if number in rule.graph_breaks}
    named = {code: len(words & set(rule.name.split("-"))) for code, rule in candidates.items()}
    best = max(named, key=lambda code: (named[code], code == CALL), default="")
    # Several rules name an id that says little; where none of their subjects is named, the id itself says most.
    return candidates[best] if best == CALL or len(candidates) == 1 or named.get(best) else None


def _break_id(text: str) -> str:
    found = re.search(r"/gb(\d+)\.html", text)
    return f"GB{found[1]}" if found else ""


def _first_line(text: str) -> str:
    """The first line that says something; the text may begin with a traceback, or with what was traced."""
    _, behind_traceback, raised = text.rpartition("\ntorch._dynamo.exc.")
    text = raised.partition(": ")[2] if behind_traceback else text
    lines = (line.strip() for line in text.splitlines())
    said = (line for line in lines if line and not line.endswith(":") and "when attempting" not in line)
    return next(said, "").rstrip(".")
