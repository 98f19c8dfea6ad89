"""The algebra of sizes agrees with plain integers, and what it says of conditions is never contradicted."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vllm_lint.analyzer.sizes import SAMPLES, TOKENS, Condition, Size

N = Size.symbol(TOKENS)
TOKEN_COUNTS = (1, 2, 3, 7, 48, 64, 100, 127, 128, 129, 1000)

Function = Callable[[int, int], int]
Pair = tuple[Size, Function]
"""A size, and what it stands for, by the number of tokens and the seed of the statics."""


def number(value: int) -> Pair:
    return Size.const(value), lambda _tokens, _seed: value


def named(name: str) -> Pair:
    size = Size.static(name)
    return size, size.evaluate


_LEAVES = st.one_of(
    st.just((N, lambda tokens, _seed: tokens)),
    st.integers(-9, 300).map(number),
    st.sampled_from("abc").map(named),
)
_BINARY: dict[str, tuple[Callable[[Size, Size], Size], Callable[[int, int], int]]] = {
    "+": (operator.add, operator.add),
    "-": (operator.sub, operator.sub),
    "*": (operator.mul, operator.mul),
    "//": (operator.floordiv, operator.floordiv),
    "%": (operator.mod, operator.mod),
    "min": (lambda a, b: Size.operation("min", a, b), min),
    "max": (lambda a, b: Size.operation("max", a, b), max),
    "and": (lambda a, b: Size.operation("and", a, b), operator.and_),
    "or": (lambda a, b: Size.operation("or", a, b), operator.or_),
    "xor": (lambda a, b: Size.operation("xor", a, b), operator.xor),
}


@st.composite
def combined(draw: st.DrawFn, children: st.SearchStrategy[Pair]) -> Pair:
    left, plain_left = draw(children)
    right, plain_right = draw(children)
    name = draw(st.sampled_from(sorted(_BINARY)))
    symbolic, plain = _BINARY[name]
    return symbolic(left, right), lambda tokens, seed: plain(plain_left(tokens, seed), plain_right(tokens, seed))


PAIRS = st.recursive(_LEAVES, combined, max_leaves=6)
SIZES = PAIRS.map(lambda pair: pair[0])
POINTS = st.tuples(st.sampled_from(TOKEN_COUNTS), st.integers(0, 5))


def value(size: Size, point: tuple[int, int]) -> int:
    """`size.evaluate`; a point at which it divides by zero says nothing."""
    try:
        return size.evaluate(*point)
    except (ZeroDivisionError, OverflowError):
        assume(False)
        raise


@given(PAIRS, POINTS)
@settings(max_examples=1000)
def test_expressions_evaluate_as_integers_do(pair: Pair, point: tuple[int, int]) -> None:
    size, plain = pair
    try:
        expected = plain(*point)
    except ZeroDivisionError:
        assume(False)
        raise
    assert size.is_vague or value(size, point) == expected


@pytest.mark.parametrize("name", _BINARY)
@given(SIZES, SIZES, POINTS)
def test_each_operation(name: str, left: Size, right: Size, point: tuple[int, int]) -> None:
    symbolic, plain = _BINARY[name]
    result = symbolic(left, right)
    assume(not result.is_vague)
    a, b = value(left, point), value(right, point)
    assume(b != 0 or name not in ("//", "%"))
    assert value(result, point) == plain(a, b)


@given(SIZES, SIZES, SIZES)
def test_equal_expressions_are_equal(a: Size, b: Size, c: Size) -> None:
    assume(not any(s.is_vague for s in (a * b * c, a + b + c)))
    assert a + b == b + a
    assert hash(a + b) == hash(b + a)
    assert (a + b) + c == a + (b + c)
    assert a * b == b * a
    assert a - a == Size.const(0)
    assert Size.const(0) - (Size.const(0) - a) == a
    assume(len((a * (b + c)).terms) < 20)
    assert a * (b + c) == a * b + a * c


@given(st.one_of(st.tuples(SIZES, SIZES), st.builds(lambda a, b: (a * b, b), SIZES, SIZES)), POINTS)
def test_division_is_exact(operands: tuple[Size, Size], point: tuple[int, int]) -> None:
    """Where `divide` has an answer, multiplying gives back what was divided, and nothing remains."""
    a, b = operands
    quotient = a.divide(b)
    if quotient is None or a.is_vague or b.is_vague:
        return
    divisor = value(b, point)
    assert value(quotient, point) * divisor == value(a, point)
    if divisor:
        assert a % b == Size.const(0)
        assert a // b == quotient


@given(SIZES, SIZES)
def test_a_multiple_can_be_divided(a: Size, b: Size) -> None:
    assume(len(b.terms) == 1 and not (a * b).is_vague)
    assert (a * b).divide(b) == a


@given(SIZES, SIZES, POINTS)
def test_cancelling_keeps_the_fraction(a: Size, b: Size, point: tuple[int, int]) -> None:
    top, bottom = a.cancel(b)
    assert value(top, point) * value(b, point) == value(a, point) * value(bottom, point)


@given(SIZES, POINTS, st.sampled_from(TOKEN_COUNTS))
def test_what_does_not_depend_on_tokens_does_not_change_with_them(
    size: Size, point: tuple[int, int], tokens: int
) -> None:
    assume(not size.depends)
    assert value(size, point) == value(size, (tokens, point[1]))
    assert size.symbols() == frozenset()


@given(SIZES, POINTS, st.integers(0, 5))
def test_what_is_known_does_not_change_with_statics(size: Size, point: tuple[int, int], seed: int) -> None:
    assume(size.known)
    assert value(size, point) == value(size, (point[0], seed))


@given(SIZES, POINTS)
def test_constants_have_their_value(size: Size, point: tuple[int, int]) -> None:
    assume(size.constant is not None)
    assert value(size, point) == size.constant


@given(SIZES)
def test_vague_sizes_still_depend_on_tokens(size: Size) -> None:
    grown = size
    for factor in range(2, 40):
        grown = (grown + Size.const(factor)) * (grown + Size.static(f"s{factor}"))
    assert grown.depends == size.depends
    assert grown.symbols() == size.symbols()
    assert len(grown.terms) <= 24


# Conditions

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARED = st.builds(lambda name, a, b: Condition(name, (a, b)), st.sampled_from(sorted(_COMPARISONS)), SIZES, SIZES)
CONDITIONS = st.recursive(
    _COMPARED,
    lambda inner: st.one_of(
        inner.map(lambda c: Condition("not", (c,))),
        st.builds(lambda name, a, b: Condition(name, (a, b)), st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=3,
)


@pytest.mark.parametrize("name", _COMPARISONS)
@given(SIZES, SIZES, POINTS)
def test_each_comparison(name: str, a: Size, b: Size, point: tuple[int, int]) -> None:
    expected = _COMPARISONS[name](value(a, point), value(b, point))
    assert Condition(name, (a, b)).evaluate(*point) is expected
    assert Condition("not", (Condition(name, (a, b)),)).evaluate(*point) is not expected


def truths(condition: Condition, seed: int) -> dict[int, bool]:
    """The truth for every number of tokens that is tried."""
    found = {}
    for tokens in SAMPLES:
        try:
            found[tokens] = condition.evaluate(tokens, seed)
        except (ZeroDivisionError, OverflowError):
            continue
    return found


@given(CONDITIONS, st.integers(0, 3))
@settings(max_examples=300)
def test_a_decided_condition_is_never_otherwise(condition: Condition, seed: int) -> None:
    decided = condition.decide()
    assume(decided is not None)
    assert set(truths(condition, seed).values()) <= {decided}


def is_rarer_answer(condition: Condition, seed: int, counts: tuple[int, ...], found: dict[int, bool]) -> bool:
    """Whether at `counts`, and nowhere else in `found`, the answer is one that most do not give."""
    try:
        answers = {condition.evaluate(tokens, seed) for tokens in counts}
    except (ZeroDivisionError, OverflowError):
        return False
    others = found.keys() - set(counts)
    return len(answers) == 1 and len(counts) <= len(others) and not any(found[tokens] in answers for tokens in others)


@given(CONDITIONS)
@settings(max_examples=300)
def test_where_an_answer_changes_both_answers_occur(condition: Condition) -> None:
    changes = condition.changes_at()
    by_seed = [truths(condition, seed) for seed in range(1 if condition.known else 6)]
    if changes is None:
        assert all(len(set(found.values())) <= 1 for found in by_seed)
        return
    assert condition.decide() is None
    assert changes == tuple(sorted(changes))
    assert any(is_rarer_answer(condition, seed, changes, found) for seed, found in enumerate(by_seed))


@given(st.sampled_from(sorted(_COMPARISONS)), st.integers(0, 200), st.integers(1, 9))
def test_decisions_about_one_count_agree_with_brute_force(name: str, limit: int, divisor: int) -> None:
    """Without statics nothing is left open: a decision holds for all numbers of tokens, far beyond those tried."""
    counts = range(1, 2500)
    for size, values in (
        (N, list(counts)),
        (N // Size.const(divisor), [n // divisor for n in counts]),
        (N % Size.const(divisor), [n % divisor for n in counts]),
    ):
        condition = Condition(name, (size, Size.const(limit)))
        found = {_COMPARISONS[name](number, limit) for number in values}
        decided = condition.decide()
        assert found == ({decided} if decided is not None else {True, False})
        assert (condition.changes_at() is None) == (decided is not None)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Condition("==", (N % Size.const(128), Size.const(0))), {128, 256, 512, 1024, 2048, 4096, 8192, 16384}),
        (Condition("==", (N, Size.const(1))), {1}),
        (Condition("<=", (N, Size.const(3))), {1, 2, 3}),
        (Condition(">", (N, Size.const(1))), {1}),
        (Condition("==", (N, Size.const(70))), {70}),
        (Condition("!=", (N // Size.const(2), Size.const(40))), {80}),
        (Condition("==", (Size.symbol("pixels:0"), Size.const(333))), {333}),
        (Condition("or", tuple(Condition("==", (N, Size.const(k))) for k in (70, 80))), {70}),
    ],
)
def test_the_rarer_answer_is_named(condition: Condition, expected: set[int]) -> None:
    assert set(condition.changes_at() or ()) == expected


@pytest.mark.parametrize(
    ("condition", "decided"),
    [
        (Condition(">=", (N, Size.const(1))), True),
        (Condition("==", (N, Size.const(0))), False),
        (Condition("==", (N * Size.static("w") % N, Size.const(0))), True),
        (Condition("==", (N * Size.const(8) % Size.const(4), Size.const(0))), True),
        (Condition("==", (N + N - Size.const(2) * N, Size.const(0))), True),
        (Condition(">", (Size.static("width"), Size.const(64))), None),
        (Condition("==", (Size.static("a"), Size.static("a"))), True),
        (Condition("==", (Size.static("a"), Size.static("b"))), None),
        (Condition("<=", (Size.operation("min", N, Size.const(64)), Size.const(64))), True),
        (Condition("<=", (Size.operation("min", N, Size.const(64)), Size.const(63))), None),
    ],
)
def test_decided(condition: Condition, decided: bool | None) -> None:
    assert condition.decide() is decided


def test_counts_of_other_things_are_not_taken_for_tokens() -> None:
    patches = Size.symbol("pixels:0")
    assert Condition("==", (N, patches)).decide() is None
    assert Condition("==", (patches, patches)).decide() is True
    assert (N * patches).symbols() == {TOKENS, "pixels:0"}


@given(st.lists(SIZES, min_size=1, max_size=4), st.sampled_from(["min", "max"]), POINTS)
def test_nested_minima_are_one(sizes: list[Size], name: str, point: tuple[int, int]) -> None:
    nested = sizes[0]
    for size in sizes[1:]:
        nested = Size.operation(name, nested, size)
    backwards = sizes[-1]
    for size in reversed(sizes[:-1]):
        backwards = Size.operation(name, size, backwards)
    assume(not nested.is_vague and not backwards.is_vague)
    plain = min if name == "min" else max
    assert value(nested, point) == value(backwards, point) == plain(value(s, point) for s in sizes)
