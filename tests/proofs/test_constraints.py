"""Conditions on sizes are read without torch, and mean what torch means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_lint.runtime_verifier.trace.constraints import PROBES, Constraint, NotUnderstood, readable_source

NAMES = {"s77": "x.size(0)", "s17": "positions.size(0)"}
#: As torch 2.13 writes them (expressions of EVIDENCE.md), in Python, and a size at which each is false.
EXAMPLES = [
    ("Eq(Mod(s77, 128), 0)", "x.size(0) % 128 == 0", 7),
    ("8*s77 > 1024", "8 * x.size(0) > 1024", 128),
    ("((s77//128)) > 1", "x.size(0) // 128 > 1", 255),
    ("Ne(((s77 + 127)//128), 1)", "(x.size(0) + 127) // 128 != 1", 128),
    ("Eq(BitwiseFn_bitwise_and(s77, s77 - 1), 0)", "x.size(0) & (x.size(0) - 1) == 0", 48),
    ("~(Eq(s77, 1) | Eq(s77, 2))", "not ((x.size(0) == 1) or (x.size(0) == 2))", 2),
    ("(s77 >= 16) & (s77 <= 512)", "(x.size(0) >= 16) and (x.size(0) <= 512)", 513),
    ("Min(128, s77) < s77", "min(128, x.size(0)) < x.size(0)", 128),
    ("(IntTrueDiv(s77, 128)) > 1.5", "x.size(0) / 128 > 1.5", 192),
    ("Eq(PythonMod(-s77, 128), 0)", "(-x.size(0)) % 128 == 0", 1),
    ("CeilToInt(IntTrueDiv(s77, 128)) >= 2", "ceil(x.size(0) / 128) >= 2", 128),
    ("OpaqueUnaryFn_log2(ToFloat(s77)) > 3", "log2(float(x.size(0))) > 3", 8),
]


@pytest.mark.parametrize(("text", "python", "fails"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_reads_and_says_what_torch_writes(text: str, python: str, fails: int) -> None:
    constraint = Constraint(text)
    assert constraint.symbols == {"s77"}
    assert constraint.readable(NAMES) == python
    assert not constraint.holds({"s77": fails})
    assert any(constraint.holds({"s77": n}) for n in PROBES)


@given(st.integers(1, 20_000))
def test_the_readable_form_means_the_same(n: int) -> None:
    import math

    space = {"v": n, "ceil": math.ceil, "log2": math.log2}
    for text, _, _ in EXAMPLES:
        python = Constraint(text).readable({"s77": "v"})
        # Python binds & and | tighter than ==, which people read right and eval does not.
        if "&" not in python:
            assert bool(eval(python, dict(space))) == Constraint(text).holds({"s77": n}), text  # noqa: S307 - our own text


def test_equal_sizes_of_two_inputs_never_fail_together() -> None:
    both = frozenset(NAMES)
    assert Constraint("Eq(s77, s17)").fails_at(both, {}) == ()
    assert Constraint("Eq(s77, s17)").fails_at(frozenset({"s77"}), {"s17": 256}) == tuple(n for n in PROBES if n != 256)


@pytest.mark.parametrize(
    ("text", "first"),
    [("Ne(s77, 777)", 777), ("8*s77 <= 3000", 376), ("s77 < 100000", 100_000), ("Ne(Mod(s77, 0), 1)", 1)],
)
def test_probes_lie_around_the_numbers_of_the_condition(text: str, first: int) -> None:
    constraint = Constraint(text)
    assert constraint.fails_at(frozenset({"s77"}), {}, constraint.probes)[0] == first


def test_a_size_at_which_it_cannot_be_computed_fails() -> None:
    assert Constraint("Eq(Mod(s77, (s77//4)), 0)").fails_at(frozenset({"s77"}), {})[:3] == (1, 2, 3)


@pytest.mark.parametrize("text", ["NewFunction(s77) > 1", "s77.attribute", "s77 >", "s77 if s77 else 1", "Eq(u0, 1)"])
def test_what_is_not_understood_is_said_so(text: str) -> None:
    with pytest.raises(NotUnderstood):
        Constraint(text).holds({"s77": 2})


def test_an_unknown_function_still_shows_no_symbol() -> None:
    assert Constraint("NewFunction(s77) > 1").readable(NAMES) == "NewFunction(x.size(0)) > 1"


@pytest.mark.parametrize(
    ("source", "readable"),
    [
        ("L['input_ids'].size()[0]", "input_ids.size(0)"),
        ("L['x'].stride()[1]", "x.stride(1)"),
        ("L['self'].bias.size()[0]", "self.bias.size(0)"),
        ("G['LIMIT']", "LIMIT"),
    ],
)
def test_sources_are_shown_as_people_write_them(source: str, readable: str) -> None:
    assert readable_source(source) == readable
