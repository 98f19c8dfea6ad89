"""Builds and captures models of transformers by their model type, tiny and random.

For example: python benchmarks/verify/transformers_sweep.py --every 5 --out benchmarks/verify/results/transformers.json
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import statistics
import time
from collections import Counter
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed, Outcome, Result
from vllm_lint.runtime_verifier.pool import Pool

#: A prime number of tokens when traced, and what is replayed.
TRACE_SIZE, SIZES = 131, (1, 2, 7, 64)


def main() -> None:
    """Run the sweep and write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="model types [all]")
    parser.add_argument("--every", type=int, default=1, help="take only every so many of them")
    parser.add_argument("--out", type=Path, help="write the table here as JSON")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one model")
    options = parser.parse_args()
    names = (options.names or sorted(MODEL_MAPPING_NAMES))[:: options.every]
    started = time.monotonic()
    table: dict[str, dict[str, Any]] = {}
    with Pool(options.jobs) as pool:
        jobs = (_job(name, options.timeout) for name in names)
        futures = {pool.submit(job): job.target for job in jobs}
        for future in as_completed(futures):
            name = futures[future]
            table[name] = _row(future.result())
            print(f"{len(table):4}/{len(names)} {name}: {table[name]['outcome']}", flush=True)
    counts = Counter(row["outcome"] for row in table.values())
    for reason, count in counts.most_common():
        print(f"{count:4} {reason}")
    seconds = sorted(row["seconds"] for row in table.values() if row["captured"])
    if options.out:
        head = {
            "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
            "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
            "seconds": round(time.monotonic() - started),
            "model_types": len(table),
            "captured": len(seconds),
            "median_seconds": statistics.median(seconds) if seconds else None,
            "counts": dict(counts.most_common()),
        }
        options.out.parent.mkdir(exist_ok=True)
        table = dict(sorted(table.items()))
        options.out.write_text(json.dumps({**head, "models": table}, indent=1) + "\n", encoding="utf-8")


def _job(name: str, timeout: float) -> Job:
    return Job(provider="transformers", target=name, trace_size=TRACE_SIZE, sizes=SIZES, timeout=timeout)


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
