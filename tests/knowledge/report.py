"""Prints what the installed torch makes of each case, and what the tables say: `python -m tests.knowledge.report`."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import torch

from tests.knowledge import capturing
from tests.knowledge.dynamo_cases import LOOK_ALIKES, SIZES, calls


def main() -> None:
    """Print a row for each case, with a star where the two differ."""
    warnings.simplefilter("ignore")
    logging.disable()  # torch logs the traceback of each failed capture
    rows = [(call, number, body) for _, number, call, body in calls()]
    rows += [(name, "captured", body) for name, body in LOOK_ALIKES.items()]
    rows += [(text, wanted, f"n = x.shape[0]\nreturn x * ({text})") for text, (wanted, _) in SIZES.items()]
    print(f"torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        module = capturing.module_of(Path(folder), {f"forward_{i}": body for i, (_, _, body) in enumerate(rows)})
        for i, (case, wanted, _) in enumerate(rows):
            found = capturing.outcome(getattr(module, f"forward_{i}"))
            print(f"{' ' if found == wanted else '*'} {case:60} {wanted:12} {found}")


if __name__ == "__main__":
    main()
