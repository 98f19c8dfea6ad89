"""The floor of the comparison: read and `ast.parse` every Python file under a folder, nothing else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

for path in sorted(Path(sys.argv[1]).rglob("*.py")):
    ast.parse(path.read_bytes())
