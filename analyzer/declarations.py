"""What files declare outside compiled regions, seen once for each file that is checked and under no root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vllm_lint.analyzer import graph_passes, hash_declarations, operator_honesty, registrations
from vllm_lint.analyzer.events import Event, HashDeclared, PassDeclared
from vllm_lint.analyzer.index import ModuleInfo
from vllm_lint.analyzer.interpreter import Interpreter


@dataclass(frozen=True)
class Survey:
    """Looks through a module for declarations of one kind.

    What it asks of the program goes through the interpreter or its project, so that it becomes a question of the file.
    """

    events: tuple[type[Event], ...]
    """What it may find. It is not made where no rule wants to hear of these."""
    words: tuple[str, ...]
    """A file whose text holds none of these is not looked at: most files declare nothing."""
    look: Callable[[Interpreter, ModuleInfo], Iterator[Event]]


SURVEYS: tuple[Survey, ...] = (
    Survey(operator_honesty.EVENTS, registrations.WORDS, operator_honesty.judged),
    Survey((HashDeclared,), hash_declarations.WORDS, hash_declarations.hashes_of),
    Survey((PassDeclared,), graph_passes.WORDS, graph_passes.passes_of),
)


def surveys_of(text: str, hears: Callable[[type[Event]], bool]) -> list[Survey]:
    """The surveys that are worth making of a file with `text`, where rules hear of some events."""
    return [s for s in SURVEYS if any(map(hears, s.events)) and any(word in text for word in s.words)]
