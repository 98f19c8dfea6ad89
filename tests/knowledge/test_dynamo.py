"""What the interpreter's tables say that Dynamo cannot trace, or that fixes a size, the installed Dynamo does."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from tests.knowledge import capturing
from tests.knowledge.dynamo_cases import ELSEWHERE, LOOK_ALIKES, SINCE, SIZES, calls
from tests.knowledge.members import NEWER, members
from vllm_lint.analyzer import untraceable
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.lifecycle import holds_for
from vllm_lint.rules.catalogue import RULES

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

BREAKS = {call: body for _, _, call, body in calls()}
OF_SIZES = {text: f"n = x.shape[0]\nreturn x * ({text})" for text in SIZES}
BODIES = {**BREAKS, **LOOK_ALIKES, **OF_SIZES}
#: Id of a call that does not fit the function: then the case is wrong, not the table.
BAD_ARGUMENTS = "GB7312"
#: What breaks and no rule reports, and why.
SILENT = {
    "torch.sparse.mm(torch.eye(8).to_sparse(), torch.eye(8))": "the conversion in its argument is reported",
}


def is_known(name: str) -> bool:
    return name not in SINCE or holds_for(f">={SINCE[name]}", torch.__version__)


@pytest.fixture(scope="module")
def forwards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The forwards of all cases, compiled by Python alone."""
    names = {f"forward_{i}": body for i, body in enumerate(BODIES.values())}
    module = capturing.module_of(tmp_path_factory.mktemp("forwards"), names)
    return {case: getattr(module, f"forward_{i}") for i, case in enumerate(BODIES)}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The codes of what the rules report of each case."""
    folder = tmp_path_factory.mktemp("models")
    head = capturing.HEAD + "from vllm.compilation.decorators import support_torch_compile\n"
    text, starts = head, {}
    for i, (case, body) in enumerate(BODIES.items()):
        starts[text.count("\n")] = case
        text += f"\n\n@support_torch_compile\nclass Model{i}(nn.Module):\n"
        text += f"    def forward(self, x: torch.Tensor, flag: bool = True):\n{textwrap.indent(body, ' ' * 8)}\n"
    (folder / "models.py").write_text(text, encoding="utf-8")
    result = check(Settings(paths=(folder,), base=folder, search_installed=False, jobs=1), RULES)
    found: dict[str, set[str]] = {case: set() for case in BODIES}
    for finding in result.findings:
        found[starts[max(start for start in starts if start < finding.line)]].add(finding.code)
    return found


@pytest.mark.parametrize("call", BREAKS)
def test_what_is_said_to_be_untraceable_breaks_the_graph(call: str, forwards: dict[str, Any]) -> None:
    outcome = capturing.outcome(forwards[call])
    assert outcome != BAD_ARGUMENTS
    assert outcome.startswith("GB")


@pytest.mark.parametrize("call", BREAKS)
def test_what_breaks_the_graph_is_reported(call: str, told: dict[str, set[str]]) -> None:
    assert any(code.startswith("VL1") for code in told[call]) or call in SILENT


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_look_alike_is_traced_and_not_reported(
    name: str, forwards: dict[str, Any], told: dict[str, set[str]]
) -> None:
    assert not {code for code in told[name] if code.startswith("VL1")}
    assert (capturing.outcome(forwards[name]) in ("captured", "guarded")) == is_known(name)


@pytest.mark.parametrize("text", SIZES)
def test_arithmetic_on_the_number_of_tokens(text: str, forwards: dict[str, Any], told: dict[str, set[str]]) -> None:
    wanted, code = SIZES[text]
    about_graphs_and_sizes = {c for c in told[text] if c.startswith(("VL1", "VL2")) and c != "VL209"}
    assert about_graphs_and_sizes == ({code} if code else set())
    outcome = capturing.outcome(forwards[text])
    kind = "GB" if wanted.startswith("GB") else wanted
    assert outcome.startswith(kind) == is_known(text)


def test_every_name_of_the_tables_has_a_case() -> None:
    names = {name for table in untraceable.BY_NAME.values() for name in table}
    drawn = {name for name, _, _, _ in calls()}
    assert {name for name in names - drawn if not name.startswith(tuple(ELSEWHERE))} == set()
    assert SINCE.keys() <= LOOK_ALIKES.keys() | SIZES.keys()


def test_members_of_packages_break_the_graph_but_for_those_that_are_traced(tmp_path: Path) -> None:
    called = dict(members())
    assert [name for name, call in called.items() if call is None] == []
    assert {n for n in untraceable.TRACED - called.keys() if n not in NEWER} == set()
    bodies = {f"forward_{i}": f"y = {call}\nreturn x * 2" for i, call in enumerate(called.values())}
    module = capturing.module_of(tmp_path, bodies)
    outcomes = {name: capturing.outcome(getattr(module, f"forward_{i}")) for i, name in enumerate(called)}
    assert BAD_ARGUMENTS not in outcomes.values()
    traced = {name for name, outcome in outcomes.items() if outcome in ("captured", "guarded")}
    assert traced <= untraceable.TRACED
    if holds_for(">=2.13", torch.__version__):
        assert traced == untraceable.TRACED & called.keys()


def test_a_case_that_is_traced_is_noticed(tmp_path: Path) -> None:
    module = capturing.module_of(tmp_path, {"traced": "return x + 1", "decided": "return x if x.shape[0] > 9 else -x"})
    assert capturing.outcome(module.traced) == "captured"
    assert capturing.outcome(module.decided) == "guarded"
