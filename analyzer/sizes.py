"""Integer size expressions over token counts and values fixed at capture.

A `Size` is a polynomial with integer coefficients over atoms. An atom is a token symbol (a dimension that is
dynamic in the compiled region), a static (an integer that is fixed when the region is captured but not known from
the source), or an operation that is not a polynomial, such as `n // 128`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Union

#: ("n", name) token symbol; ("s", label) static; ("op", name, operands) anything else.
Atom = Union[tuple[str, str], tuple[str, str, tuple["Size", ...]]]
Monomial = tuple[Atom, ...]

#: The token symbol that all inputs of one batch share; other symbols count something else, such as image patches.
TOKENS = "tokens"

#: Token counts at which a condition is tried. Zero is left out: vLLM never runs a batch without tokens.
SAMPLES = (*range(1, 66), 96, 100, 127, 128, 129, 255, 256, 257, 509, 512, 1000, 1024, 2048, 4096, 8191, 8192, 16384)

#: Up to here each token count is tried where those of `SAMPLES` all give one answer.
_HIGHEST_TRIED = 4096

#: Values that statics are tried with.
_STATICS = (1, 2, 3, 4, 7, 8, 16, 64, 100, 128, 1024, 4096)
#: Seeds that give each static a value of its own; those that follow give all the same one, each of `_STATICS` in turn.
_MIXED_SEEDS = 6
_SEEDS = _MIXED_SEEDS + len(_STATICS)

_OPERATIONS: dict[str, Callable[..., int]] = {
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "min": min,
    "max": max,
    "pow": lambda a, b: a**b if 0 <= b <= 16 else 1,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b if 0 <= b <= 62 else 0,
    "shr": lambda a, b: a >> b if b >= 0 else 0,
    "about": lambda a: a,
}

#: Expressions with more terms, or operations nested deeper, are no longer followed exactly.
_MAX_TERMS = 24
_MAX_DEPTH = 12
_MAX_OPERANDS = 4
#: So many sizes of each simple kind are kept, for they never change.
_KEPT = 4096


class Size:
    """An integer expression in normal form; equal expressions compare equal."""

    __slots__ = ("_hash", "depends", "depth", "known", "terms")

    terms: tuple[tuple[Monomial, int], ...]
    depends: bool
    """Whether the value changes with a token count."""
    known: bool
    """Whether token counts and numbers are all that it is made of, with no statics."""

    def __init__(self, terms: Iterable[tuple[Monomial, int]]) -> None:
        kept = [t for t in terms if t[1]]
        if len(kept) > 1:
            kept.sort(key=_term_order)
        self.terms = tuple(kept)
        self.depends = any(_atom_depends(a) for m, _ in self.terms for a in m)
        self.known = all(_atom_known(a) for m, _ in self.terms for a in m)
        self.depth = max((_atom_depth(a) for m, _ in self.terms for a in m), default=0)
        if len(self.terms) > _MAX_TERMS or self.depth > _MAX_DEPTH or any(len(m) > _MAX_TERMS for m, _ in self.terms):
            self._forget()
        self._hash = hash(self.terms)

    def _forget(self) -> None:
        """Become an expression that only knows which token count it depends on, if any."""
        self.terms = Size.about(self).terms if self.depends else (((("s", "large"),), 1),)
        self.depth = 1

    @staticmethod
    def about(size: Size) -> Size:
        """Something that changes with the same token count as `size`; taken to be that count where it matters."""
        return Size.operation("about", Size.symbol(min(size.symbols())))

    @staticmethod
    @lru_cache(maxsize=_KEPT)
    def const(value: int) -> Size:
        """The number `value`."""
        return Size([((), value)])

    @staticmethod
    @lru_cache(maxsize=_KEPT)
    def symbol(name: str) -> Size:
        """A token count, named after the dimension that it counts."""
        return Size([((("n", name),), 1)])

    @staticmethod
    @lru_cache(maxsize=_KEPT)
    def static(label: str) -> Size:
        """An unknown integer that is fixed at capture; equal labels mean equal values."""
        return Size([((("s", label),), 1)])

    @staticmethod
    def operation(name: str, *operands: Size) -> Size:
        """A non-polynomial operation, folded where its value is known."""
        constants = [o.constant for o in operands]
        if all(c is not None for c in constants):
            try:
                return Size.const(_OPERATIONS[name](*constants))
            except (ZeroDivisionError, OverflowError):
                pass
        if name in ("min", "max"):
            operands = _flattened(name, operands)
            if len(operands) == 1:
                return operands[0]
            if len(operands) > _MAX_OPERANDS and any(o.depends for o in operands):
                return Size.about(next(o for o in operands if o.depends))
        return Size([((("op", name, operands),), 1)])

    @property
    def constant(self) -> int | None:
        """The value if it is a known number."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and not self.terms[0][0]:
            return self.terms[0][1]
        return None

    @property
    def is_vague(self) -> bool:
        """Whether all that is known is which token count it depends on."""
        return any(len(a) == 3 and (a[1] == "about" or any(o.is_vague for o in a[2])) for m, _ in self.terms for a in m)

    @property
    def is_unsettled(self) -> bool:
        """Whether a multiple of one static is divided by another: whether that leaves a rest is for neither to say."""
        atoms = [a for m, _ in self.terms for a in m if len(a) == 3]
        return any(
            (a[1] in ("mod", "floordiv") and _has_statics(a[2][1]) and _is_multiple(a[2][0], a[2][1].statics()))
            or any(o.is_unsettled for o in a[2])
            for a in atoms
        )

    def statics(self) -> frozenset[str]:
        """Labels of the statics that occur."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if atom[0] == "s":
                    found.add(atom[1])
                elif len(atom) == 3:
                    found.update(*(o.statics() for o in atom[2]))
        return frozenset(found)

    def symbols(self) -> frozenset[str]:
        """Names of the token symbols that occur."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if atom[0] == "n":
                    found.add(atom[1])
                elif len(atom) == 3:
                    found.update(*(o.symbols() for o in atom[2]))
        return frozenset(found)

    def __add__(self, other: Size) -> Size:
        total = dict(self.terms)
        for monomial, coefficient in other.terms:
            total[monomial] = total.get(monomial, 0) + coefficient
        return Size(total.items())

    def __neg__(self) -> Size:
        return Size((m, -c) for m, c in self.terms)

    def __sub__(self, other: Size) -> Size:
        return self + -other

    def __mul__(self, other: Size) -> Size:
        total: dict[Monomial, int] = {}
        for m1, c1 in self.terms:
            for m2, c2 in other.terms:
                monomial = tuple(sorted(m1 + m2, key=_atom_order))
                total[monomial] = total.get(monomial, 0) + c1 * c2
        return Size(total.items())

    def __floordiv__(self, other: Size) -> Size:
        exact = self.divide(other)
        return exact if exact is not None else Size.operation("floordiv", self, other)

    def __mod__(self, other: Size) -> Size:
        return Size.const(0) if self.divide(other) is not None else Size.operation("mod", self, other)

    def divide(self, other: Size) -> Size | None:
        """The quotient if `other` is one term that divides every term of self, else None."""
        if len(other.terms) != 1:
            return Size.const(1) if self == other and self.terms else None
        divisor, scale = other.terms[0]
        quotient = []
        for monomial, coefficient in self.terms:
            rest = list(monomial)
            for atom in divisor:
                if atom not in rest:
                    return None
                rest.remove(atom)
            if coefficient % scale:
                return None
            quotient.append((tuple(rest), coefficient // scale))
        return Size(quotient)

    def cancel(self, other: Size) -> tuple[Size, Size]:
        """Numerator and denominator of `self / other` after cancelling common factors of single-term operands."""
        if len(self.terms) != 1 or len(other.terms) != 1:
            return self, other
        (top, a), (bottom, b) = self.terms[0], other.terms[0]
        rest, denominator = list(top), []
        for atom in bottom:
            if atom in rest:
                rest.remove(atom)
            else:
                denominator.append(atom)
        common = _gcd(a, b)
        return Size([(tuple(rest), a // common)]), Size([(tuple(denominator), b // common)])

    def evaluate(self, tokens: int, seed: int = 0) -> int:
        """The value at `tokens` tokens, with each static given some positive number chosen by `seed`.

        Raises:
            ZeroDivisionError: a divisor is zero at that point.
        """
        total = 0
        for monomial, coefficient in self.terms:
            product = coefficient
            for atom in monomial:
                if atom[0] == "n":
                    product *= tokens if atom[1] == TOKENS else _other_count(atom[1], tokens, seed)
                elif len(atom) == 3:
                    product *= _OPERATIONS[atom[1]](*(o.evaluate(tokens, seed) for o in atom[2]))
                else:
                    product *= _static_value(atom[1], seed)
            total += product
        return total

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        if not self.terms:
            return "0"
        return " + ".join("*".join([str(c)] * (c != 1 or not m) + [_atom_text(a) for a in m]) for m, c in self.terms)


class Condition:
    """A truth value computed from sizes: a comparison, or `and`, `or`, `not` over conditions."""

    __slots__ = ("depends", "known", "operands", "operator")

    def __init__(self, operator: str, operands: tuple[Size | Condition, ...]) -> None:
        self.operator = operator
        self.operands = operands
        self.depends: bool = any(o.depends for o in operands)
        self.known: bool = all(o.known for o in operands)

    def evaluate(self, tokens: int, seed: int = 0) -> bool:
        """The truth at `tokens` tokens; see `Size.evaluate`."""
        values = [o.evaluate(tokens, seed) for o in self.operands]
        return bool(_COMPARISONS[self.operator](*values))

    def symbols(self) -> frozenset[str]:
        """Names of the counts that occur."""
        return frozenset[str]().union(*(o.symbols() for o in self.operands))

    @property
    def is_unsettled(self) -> bool:
        """Whether some part is: see `Size.is_unsettled`."""
        return any(o.is_unsettled for o in self.operands)

    def decide(self) -> bool | None:
        """The truth if it is the same for every number of tokens and every static, else None."""
        return _decide(self)

    def changes_at(self) -> tuple[int, ...] | None:
        """Token counts with the rarer answer, under the first choice of statics for which the answer varies.

        None if the answer never varies with the token count.
        """
        return _changes_at(self)

    def samples(self, seed: int) -> Iterator[tuple[int, bool]]:
        """Token counts with the truth there, for one choice of statics."""
        for tokens in SAMPLES:
            truth = self._try(tokens, seed)
            if truth is not None:
                yield tokens, truth

    def exception(self, seed: int, rule: bool) -> int | None:
        """A token count that `SAMPLES` lacks and where the truth is not `rule`, as 70 is for `n == 70`."""
        if seed or not self.depends or _has_statics(self):
            return None
        # Where an expression passes through a number, it does so below the product of all numbers in it.
        highest = min(2 * _product(self), _HIGHEST_TRIED)
        return next((n for n in range(SAMPLES[0], highest) if self._try(n, seed) is (not rule)), None)

    def _try(self, tokens: int, seed: int) -> bool | None:
        try:
            return self.evaluate(tokens, seed)
        except (ZeroDivisionError, OverflowError):
            return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self.operator == other.operator and self.operands == other.operands

    def __hash__(self) -> int:
        return hash((self.operator, self.operands))

    def __repr__(self) -> str:
        return f"{self.operator}({', '.join(map(repr, self.operands))})"


@cache
def _decide(condition: Condition) -> bool | None:
    if not condition.depends:
        return _decide_static(condition)
    first: bool | None = None
    for seed in range(1 if condition.known else _SEEDS):
        for _, truth in condition.samples(seed):
            if first is None:
                first = truth
            elif truth != first:
                return None
        if first is not None and condition.exception(seed, first) is not None:
            return None
    return first


def _decide_static(condition: Condition) -> bool | None:
    """Trying a few statics shows nothing: a condition on them alone is decided by arithmetic."""
    sizes = [o for o in condition.operands if isinstance(o, Size)]
    if len(sizes) == 2:
        difference = (sizes[0] - sizes[1]).constant
        return None if difference is None else bool(_COMPARISONS[condition.operator](difference, 0))
    answers = [o.decide() for o in condition.operands if isinstance(o, Condition)]
    if condition.operator == "not":
        return None if answers[0] is None else not answers[0]
    settling = condition.operator == "or"
    if settling in answers:
        return settling
    return None if None in answers else not settling


@cache
def _changes_at(condition: Condition) -> tuple[int, ...] | None:
    for seed in range(1 if condition.known else _MIXED_SEEDS):
        by_truth: dict[bool, list[int]] = {True: [], False: []}
        for tokens, truth in condition.samples(seed):
            by_truth[truth].append(tokens)
        for truth in (True, False):
            exception = None if by_truth[not truth] else condition.exception(seed, truth)
            if exception is not None:
                by_truth[not truth].append(exception)
        if by_truth[True] and by_truth[False]:
            rarer = len(by_truth[True]) <= len(by_truth[False])
            return tuple(by_truth[rarer])
    return None


_COMPARISONS: Mapping[str, Callable[..., bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "contiguous": lambda rows, most: rows <= most,
    "not": lambda a: not a,
    "and": lambda *values: all(values),
    "or": lambda *values: any(values),
}


def _product(part: Size | Condition) -> int:
    """The product of all numbers in an expression, without signs and zeros."""
    if isinstance(part, Condition):
        return math.prod(map(_product, part.operands))
    inner = (o for m, _ in part.terms for a in m if len(a) == 3 for o in a[2])
    return math.prod(abs(c) for _, c in part.terms) * math.prod(map(_product, inner))


def _has_statics(part: Size | Condition) -> bool:
    if isinstance(part, Condition):
        return any(map(_has_statics, part.operands))
    atoms = [a for m, _ in part.terms for a in m]
    return any(any(map(_has_statics, a[2])) if len(a) == 3 else a[0] == "s" for a in atoms)


def _atom_depends(atom: Atom) -> bool:
    if len(atom) == 3:
        return any(o.depends for o in atom[2])
    return atom[0] == "n"


def _atom_known(atom: Atom) -> bool:
    return all(o.known for o in atom[2]) if len(atom) == 3 else atom[1] == TOKENS and atom[0] == "n"


def _atom_depth(atom: Atom) -> int:
    return 1 + max((o.depth for o in atom[2]), default=0) if len(atom) == 3 else 0


def _is_multiple(size: Size, others: frozenset[str]) -> bool:
    """Whether each term has a static for a factor that is none of `others`."""
    return all(any(a[0] == "s" and a[1] not in others for a in m) for m, _ in size.terms)


def _atom_order(atom: Atom) -> str:
    return repr(atom)


def _term_order(term: tuple[Monomial, int]) -> tuple[int, str]:
    return (len(term[0]), repr(term[0]) if term[0] else "")


def _atom_text(atom: Atom) -> str:
    if len(atom) == 3:
        return f"{atom[1]}({', '.join(map(repr, atom[2]))})"
    return atom[1]


def _static_value(label: str, seed: int) -> int:
    """Some positive integer; a hash that is the same in every process keeps results reproducible."""
    if seed >= _MIXED_SEEDS:
        return _STATICS[seed - _MIXED_SEEDS]
    return _STATICS[zlib.crc32(f"{seed}:{label}".encode()) % len(_STATICS)]


def _other_count(name: str, tokens: int, seed: int) -> int:
    """A count that varies; unless all are taken to be alike, not in step with the tokens."""
    if not seed or seed >= _MIXED_SEEDS:
        return tokens
    return (tokens * 7 + zlib.crc32(f"{seed}:{name}:{tokens}".encode())) % 997 + 1


def _flattened(name: str, operands: tuple[Size, ...]) -> tuple[Size, ...]:
    """The distinct operands of nested `min` or `max`, in a fixed order."""
    found: dict[Size, None] = {}
    for operand in operands:
        atom = operand.terms[0][0][0] if len(operand.terms) == 1 and len(operand.terms[0][0]) == 1 else None
        if atom is not None and len(atom) == 3 and atom[1] == name and operand.terms[0][1] == 1:
            found.update(dict.fromkeys(atom[2]))
        else:
            found[operand] = None
    return tuple(sorted(found, key=repr))


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return abs(a) or 1
