"""Runs functions in copies of this process, which share all that it has learnt."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import TypeVar

_T = TypeVar("_T")


def in_forks(functions: Sequence[Callable[[], _T]]) -> list[_T]:
    """The results of `functions`, the first worked out here and each other in a fork.

    Raises:
        RuntimeError: a fork died, or its function raised, which it then printed.
    """
    context = multiprocessing.get_context("fork")
    started = []
    for function in functions[1:]:
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(function, sending), daemon=True)
        process.start()
        sending.close()
        started.append((process, receiving))
    try:
        results = [functions[0]()]
        for process, receiving in started:
            try:
                results.append(receiving.recv())
            except EOFError:
                process.join()
                raise RuntimeError(f"a worker process ended early (exit code {process.exitcode})") from None
            process.join()
        return results
    finally:
        for process, receiving in started:
            process.terminate()
            process.join()
            receiving.close()


def _run(function: Callable[[], _T], sending: Connection) -> None:
    sending.send(function())
    sending.close()
