"""The table that `--profile` prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from vllm_lint.analyzer.profile import Kind, Profile

_TABLES: tuple[tuple[Kind, str, int], ...] = (
    ("stage", "by stage", 20),
    ("root", "slowest compiled roots", 10),
    ("rule", "slowest rules", 10),
)


def table(profile: Profile, peak_mb: float | None) -> Iterator[str]:
    """Seconds of processor time and their share, the longest first; all roots and all rules are a stage each."""
    total = sum(profile.seconds.values())
    memory = "" if peak_mb is None else f", {peak_mb:.0f} MB at most"
    yield f"{total:.2f} s of processor time in one process{memory}"
    for kind, title, most in _TABLES:
        rows = profile.of(kind)
        if kind == "stage":
            rows += [(name, sum(s for _, s in profile.of(part))) for part, name in _WHOLE.items()]
            rows.sort(key=lambda row: -row[1])
        yield f"\n{title}"
        for name, seconds in rows[:most]:
            yield f"  {seconds:8.3f} s  {100 * seconds / (total or 1):3.0f} %  {name}"
        if len(rows) > most:
            rest = sum(seconds for _, seconds in rows[most:])
            yield f"  {rest:8.3f} s  {100 * rest / (total or 1):3.0f} %  {len(rows) - most} others"


def peak_memory() -> float | None:
    """The most memory that this process had, in MB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


_WHOLE: dict[Kind, str] = {"root": "interpret compiled roots", "rule": "ask the rules"}
