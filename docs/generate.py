"""Writes the pages that are made from the code: rules, settings, the command line's help, the README's sample.

Usage: python docs/generate.py [--check]

With `--check` nothing is written; pages that differ are named and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import click

from vllm_lint.analyzer.findings import Contract, Promise
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli.main import main as command_line
from vllm_lint.cli.schema import json_schema, markdown_table
from vllm_lint.rules.catalogue import RULES

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
#: Help is wrapped at this width, whatever the terminal.
WIDTH = 100
CONTRACT_TITLES = {
    Contract.VLLM: "vLLM's `support_torch_compile`",
    Contract.FULLGRAPH: "`torch.compile(fullgraph=True)`",
    Contract.COMPILE: "plain `torch.compile`",
}


def rule_page(rule: type[Rule]) -> str:
    """One rule: its facts as a table, then its docstring."""
    meta = rule.meta
    if meta.promise is Promise.TOOL:
        promise = meta.promise.phrase
        severities = {"Severity": meta.severity.value}
    else:
        promise = f"{meta.promise.value}, {meta.promise.phrase}"
        severities = {f"Under {CONTRACT_TITLES[contract]}": _severity(rule, contract) for contract in Contract}
    facts = {
        "Promise": promise,
        **severities,
        "Fix": meta.fix,
        "Proof": meta.proof,
        "Stage": str(meta.lifecycle),
        **({"Once named": ", ".join(meta.former)} if meta.former else {}),
        "Holds for": f"torch {meta.torch}",
        "Graph-break ids of torch": ", ".join(meta.graph_breaks) or "none",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"# {meta.code} {meta.name}\n\n| | |\n|---|---|\n{table}\n\n{rule.documentation()}\n"


def _severity(rule: type[Rule], contract: Contract) -> str:
    severity = rule().severity_under(contract)
    return severity.value if severity else "allowed"


def rule_table() -> str:
    """All rules in code order, a line each."""
    rows = "\n".join(
        f"| [{rule.meta.code}](rules/{rule.meta.code}.md) | {rule.meta.name} | {rule.meta.promise.value} "
        f"| {rule.meta.severity.value} | {rule.meta.stage.value} | {rule.summary()} |"
        for rule in RULES
    )
    head = "| code | name | promise | severity | stage | what it flags |\n|---|---|---|---|---|---|"
    return f"# Rules\n\n[Stages](versioning.md) say what a release may change about a rule.\n\n{head}\n{rows}\n"


def help_page() -> str:
    """`--help` of the program and of each command."""
    parts = ["# Command line\n"]
    root = click.Context(command_line, info_name="vllm-lint", terminal_width=WIDTH, max_content_width=WIDTH)
    parts.append(_help_block("vllm-lint", command_line.get_help(root)))
    for name in command_line.list_commands(root):
        command = command_line.get_command(root, name)
        if command is None or command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=root, terminal_width=WIDTH, max_content_width=WIDTH)
        parts.append(_help_block(f"vllm-lint {name}", command.get_help(context)))
    return "\n".join(parts)


def _help_block(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text}\n```\n"


def sample() -> str:
    """What the program prints for the example, as the README shows it."""
    command = [sys.executable, "-c", "from vllm_lint.cli.main import main; main()"]
    options = ["check", "--isolated", "--no-cache", "--color", "never"]
    done = subprocess.run(
        [*command, *options, "examples/tiny_model"], cwd=DOCS.parent, check=False, capture_output=True, text=True
    )
    if done.returncode != 1:
        raise SystemExit(f"the example has no finding (exit code {done.returncode}): {done.stderr}")
    return f"```text\n$ vllm-lint examples/tiny_model\n{done.stdout.strip()}\n```"


def filled(page: Path, **blocks: str) -> str:
    """The text of `page` with each block put between its two markers."""
    text = page.read_text(encoding="utf-8")
    for name, block in blocks.items():
        begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
        if begin not in text or end not in text:
            raise SystemExit(f"{page.name} has no place for {name}")
        before, after = text.split(begin)[0], text.split(end)[1]
        text = f"{before}{begin}{block}{end}{after}"
    return text


def pages() -> dict[Path, str]:
    """Every generated page by its path."""
    rules = {DOCS / "rules" / f"{rule.meta.code}.md": rule_page(rule) for rule in RULES}
    configuration = DOCS / "configuration.md"
    return rules | {
        DOCS / "rules.md": rule_table(),
        DOCS / "command-line.md": help_page(),
        configuration: filled(configuration, settings=f"\n{markdown_table()}\n"),
        DOCS / "vllm-lint.schema.json": json.dumps(json_schema(), indent=2) + "\n",
        README: filled(README, rules=str(len(RULES)), sample=f"\n{sample()}\n"),
    }


def main() -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a page differs")
    is_check = parser.parse_args().check
    wanted = pages()
    differs = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    stray = sorted(set((DOCS / "rules").glob("*.md")) - set(wanted))
    for path in [*differs, *stray]:
        print(f"{path.relative_to(DOCS.parent)}: {'differs from the code' if is_check else 'updated'}")
    if is_check:
        return 1 if differs or stray else 0
    for path in differs:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    for path in stray:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
