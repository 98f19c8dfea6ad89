"""Names lead from module to module, and only what was asked about has findings."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.analyzer.programs import HEAD, check_program

DECIDE = "def decide(x):\n    return x if x.shape[0] > 64 else -x  # expect: VL201\n"
#: Imports and an expression in `pkg/models/model.py`, and other modules of `pkg`.
IMPORTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "absolute": ("from pkg.layers.acts import decide", "decide(x)", {}),
    "module": ("import pkg.layers.acts", "pkg.layers.acts.decide(x)", {}),
    "module renamed": ("import pkg.layers.acts as a", "a.decide(x)", {}),
    "from package": ("from pkg.layers import acts", "acts.decide(x)", {}),
    "function renamed": ("from pkg.layers.acts import decide as d", "d(x)", {}),
    "relative": ("from ..layers.acts import decide", "decide(x)", {}),
    "relative package": ("from ..layers import acts", "acts.decide(x)", {}),
    "relative sibling": (
        "from .sibling import d",
        "d(x)",
        {"models/sibling.py": "from pkg.layers.acts import decide as d"},
    ),
    "relative module": (
        "from . import sibling",
        "sibling.d(x)",
        {"models/sibling.py": "from ..layers.acts import decide as d"},
    ),
    "re-export": ("from pkg.layers import d", "d(x)", {"layers/__init__.py": "from .acts import decide as d"}),
    "re-export of a re-export": (
        "from pkg import e",
        "e(x)",
        {"layers/__init__.py": "from .acts import decide as d", "__init__.py": "from .layers import d as e"},
    ),
    "star": ("from pkg.layers.acts import *", "decide(x)", {}),
    "star re-export": ("from pkg.layers import *", "decide(x)", {"layers/__init__.py": "from .acts import *"}),
    "assigned": ("from pkg.layers import d", "d(x)", {"layers/__init__.py": "from . import acts\nd = acts.decide"}),
    "inside the function": ("", "self.late(x)", {}),
    "optional": (
        "try:\n    from fast import decide\nexcept ImportError:\n    from pkg.layers.acts import decide",
        "decide(x)",
        {},
    ),
    "type checking": (
        """from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from other import decide
else:
    from pkg.layers.acts import decide""",
        "decide(x)",
        {},
    ),
    "each other": (
        "from pkg.layers.cycle import around",
        "around(x)",
        {"layers/cycle.py": "from pkg.models import model\ndef around(x): return model.back(x)"},
    ),
    "module-level object": (
        "from pkg.layers.registry import ACTS",
        "ACTS['decide'](x)",
        {"layers/registry.py": "from .acts import decide\nACTS = {'decide': decide}"},
    ),
}


@pytest.mark.parametrize(("imports", "call", "others"), IMPORTS.values(), ids=IMPORTS)
def test_imports(tmp_path: Path, imports: str, call: str, others: dict[str, str]) -> None:
    model = f"""
{imports}

def back(x):
    from pkg.layers.acts import decide as late
    return late(x)

@support_torch_compile
class Model(nn.Module):
    def forward(self, x: torch.Tensor):
        return {call}

    def late(self, x):
        from ..layers import acts
        return acts.decide(x)
"""
    packages = {f"pkg/{name}__init__.py": "" for name in ("", "layers/", "models/")}
    files = {**packages, "pkg/layers/acts.py": DECIDE, "pkg/models/model.py": HEAD + model}
    files |= {f"pkg/{name}": text for name, text in others.items()}
    result = check_program(tmp_path, files)
    status = {report.path: report.status for report in result.files}
    assert (status["pkg/models/model.py"], status["pkg/layers/acts.py"]) == ("root", "reached")


def test_only_checked_files_have_findings(tmp_path: Path) -> None:
    """Code on a source root is followed, for what it calls and returns, but it is not what was asked about."""
    library = """\
        def decide(x):
            return x if x.shape[0] > 64 else -x

        def apply(f, x):
            return f(x)

        def half(x):
            return x.shape[0] // 2
        """
    model = """
        from library import apply, decide, half

        def act(x):
            return x if x.shape[0] > 8 else -x  # expect: VL201

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                y = decide(x)
                z = y if half(y) > 64 else -y  # expect: VL201
                return apply(act, z)
        """
    files = {"src/model.py": HEAD + dedent(model), "lib/library.py": library}
    check_program(tmp_path, files, "src", sources=("lib",))
