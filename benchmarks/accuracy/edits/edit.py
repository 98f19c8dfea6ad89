"""What an edit is, and shorthands for writing many."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One entry. `finds` is the rule that must name the marked line; empty for code that must stay without findings.

    In all code, `{x}` is a tensor with a row for each token, `{n}` its number of tokens, `{dim}` the dimension that
    holds it, and a name with `planted` in it is this edit's own. The line that must be found ends with `# here`. Where
    a run shows the defect at another one, such as the call of an operator, that one ends with `# shown`.
    """

    name: str
    code: str
    """Goes to the top of the forward."""
    finds: str = ""
    looks_like: str = ""
    """The rule that a harmless edit tempts."""
    top: str = ""
    """Goes in front of the class."""
    init: str = ""
    """Goes to the end of the class's constructor."""
    decorator: str = ""
    """Takes the place of `support_torch_compile`, so that only roots are sites."""
    argument: str = ""
    """Takes the place of the line that declares `{x}`; of roots."""
    provider: str = ""
    """`vllm` for what only vLLM's own code can do."""
    shows: tuple[str, ...] = ()
    """What the runtime half calls the defect where it has another name."""
    only_static: str = ""
    """Why no replay can show it."""

    @property
    def rule(self) -> str:
        """The rule that this edit measures."""
        return self.finds or self.looks_like

    @property
    def of_root(self) -> bool:
        """Whether it changes how a root is declared."""
        return bool(self.decorator or self.argument)


def bad(rule: str, name: str, code: str, **more: str | tuple[str, ...]) -> Edit:
    """An edit that breaks what the rule guards."""
    return Edit(name, code, finds=rule, **more)  # type: ignore[arg-type]


def good(rule: str, name: str, code: str, **more: str) -> Edit:
    """An edit that looks like one and breaks nothing."""
    return Edit(name, code, looks_like=rule, **more)  # type: ignore[arg-type]
