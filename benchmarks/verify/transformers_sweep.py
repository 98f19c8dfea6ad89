"""Builds and captures models of transformers by their model type, tiny and random.

For example: python benchmarks/verify/transformers_sweep.py --evidence FOLDER --out FILE

What `--evidence` names keeps the traces and results, one folder for each model type. A type that has a result there is
not run again, so that a sweep can be made in pieces, and a table of all results is written at any time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import msgspec
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import Crashed, EagerFailed, Outcome, OutOfMemory, Result, TimedOut
from vllm_lint.runtime_verifier.pool import Pool
from vllm_lint.runtime_verifier.verdicts.target_evidence import RESULT

#: A prime number of tokens when traced, and what is replayed.
TRACE_SIZE, SIZES = 131, (1, 2, 7, 64)


def main() -> None:
    """Run the sweep and write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="model types [all, in an order that the seed decides]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="take only so many of them")
    parser.add_argument("--out", type=Path, help="write the table here as JSON")
    parser.add_argument("--evidence", type=Path, help="keep traces and results here")
    parser.add_argument("--again", action="store_true", help="run those once more that were not built")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no model after so many minutes")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one model")
    options = parser.parse_args()
    names = options.names or sorted(MODEL_MAPPING_NAMES)
    random.Random(options.seed).shuffle(names)  # noqa: S311  nothing secret
    names = names[: options.count]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.evidence or Path(scratch)
        known = {name: result for name in names if (result := _known(folder / name))}
        if options.again:
            known = {name: result for name, result in known.items() if _captured(result) or not _not_built(result)}
        results = known | _run([n for n in names if n not in known], folder, options)
    table = {name: _row(results[name]) for name in sorted(results)}
    counts = Counter(row["outcome"] for row in table.values())
    for reason, count in counts.most_common():
        print(f"{count:4} {reason}")
    seconds = sorted(row["seconds"] for row in table.values() if row["captured"])
    if options.out:
        head = {
            "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
            "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
            "seed": options.seed,
            "seconds": round(sum(row["seconds"] for row in table.values())),
            "model_types": len(table),
            "captured": len(seconds),
            "median_seconds": statistics.median(seconds) if seconds else None,
            "counts": dict(counts.most_common()),
        }
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps({**head, "models": table}, indent=1) + "\n", encoding="utf-8")


def _run(names: list[str], folder: Path, options: argparse.Namespace) -> dict[str, Result]:
    results: dict[str, Result] = {}
    waiting = iter(names)
    started = time.monotonic()
    with Pool(options.jobs) as pool:
        running: dict[Future[Result], str] = {}

        def start(count: int) -> None:
            if time.monotonic() - started < options.minutes * 60:
                for name in itertools.islice(waiting, count):
                    running[pool.submit(_job(name, folder / name, options.timeout))] = name

        start(options.jobs)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name = running.pop(future)
                if error := future.exception():
                    print(f"{name}: the tool failed: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
                    continue
                results[name] = result = future.result()
                # A process that was ended has written none.
                (folder / name).mkdir(parents=True, exist_ok=True)
                (folder / name / RESULT).write_bytes(msgspec.json.encode(result))
                print(f"{len(results):4}/{len(names)} {name}: {_summary(result)}", flush=True)
            start(len(done))
    return results


def _known(folder: Path) -> Result | None:
    at = folder / RESULT
    return msgspec.json.decode(at.read_bytes(), type=Result) if at.is_file() else None


def _not_built(result: Result) -> bool:
    return any(isinstance(o, (EagerFailed, OutOfMemory, TimedOut, Crashed)) for o in result.outcomes)


def _captured(result: Result) -> bool:
    return any(part.replayed for part in result.parts)


def _job(name: str, folder: Path, timeout: float) -> Job:
    return Job(
        provider="transformers",
        target=name,
        trace_size=TRACE_SIZE,
        sizes=SIZES,
        timeout=timeout,
        folder=str(folder),
        blame=True,
    )


def _row(result: Result) -> dict[str, Any]:
    replayed = sorted({n for part in result.parts for n in part.replayed})
    return {
        "outcome": _summary(result),
        "captured": bool(replayed),
        "seconds": round(result.seconds, 1),
        "class": ", ".join(part.name for part in result.parts),
        "replayed": replayed,
        "shown": list(dict.fromkeys(map(_line, result.outcomes)))[:5],
    }


def _summary(result: Result) -> str:
    kinds = [type(outcome).__name__ for outcome in result.outcomes]
    if not kinds:
        return "captured, and nothing to report"
    if failed := next((o for o in result.outcomes if isinstance(o, EagerFailed)), None):
        return f"not run: {failed.stage}"
    captured = any(part.replayed for part in result.parts)
    return f"{'captured' if captured else 'not captured'}: {', '.join(sorted(set(kinds)))}"


def _line(outcome: Outcome) -> str:
    said = (getattr(outcome, name, "") for name in ("message", "reason", "expression", "detail", "operator"))
    return f"{type(outcome).__name__}: {' '.join(filter(None, said))}"[:200]


if __name__ == "__main__":
    main()
