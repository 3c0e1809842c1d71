"""What a command answers: data for `--json` and a way to show it to a person."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def _show_nothing(_: Console) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer of one command. `data` holds builtins, dataclasses or structs; `show` prints it for a person."""

    data: Any
    show: Callable[[Console], None] = _show_nothing
    exit_code: int = 0


def console() -> Console:
    """Return a console for standard output; plain and wide when it is no terminal."""
    return Console(highlight=False, soft_wrap=True) if sys.stdout.isatty() else Console(highlight=False, width=160)


def warn(message: str, hint: str = "") -> None:
    """Print one error to standard error, with what to do next."""
    out = Console(stderr=True, highlight=False, soft_wrap=True)
    out.print(f"[bold red]error[/] {escape(message)}")
    if hint:
        out.print(f"[bold]next[/]  {escape(hint)}")


def lines(*texts: str) -> Callable[[Console], None]:
    """Show plain lines, unbroken: a command that was cut in two cannot be copied."""

    def show(out: Console) -> None:
        for text in texts:
            out.print(escape(text), soft_wrap=True)

    return show


def table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "nothing yet"
) -> Callable[[Console], None]:
    """Show rows under headers, or say that there are none."""
    listed = [tuple(str(cell) for cell in row) for row in rows]

    def show(out: Console) -> None:
        if not listed:
            out.print(empty)
            return
        sheet = Table(box=None, pad_edge=False, header_style="bold")
        for header in headers:
            sheet.add_column(header, overflow="fold")
        for row in listed:
            sheet.add_row(*(escape(cell) for cell in row))
        out.print(sheet)

    return show


def after(*shows: Callable[[Console], None]) -> Callable[[Console], None]:
    """Show one thing after the other."""

    def show(out: Console) -> None:
        for one in shows:
            one(out)

    return show


def bars(rows: Sequence[tuple[str, float]], width: int = 48) -> Callable[[Console], None]:
    """Show labelled values as bars from zero, so that one sees which is longest; negative ones point left of it."""
    longest = max((abs(value) for _, value in rows), default=0.0) or 1.0
    label_width = max((len(label) for label, _ in rows), default=0)

    def show(out: Console) -> None:
        for label, value in rows:
            bar = "█" * max(1, round(abs(value) / longest * width))
            out.print(f"{escape(label):<{label_width}}  {value:>10.4f}  {'-' if value < 0 else ''}{bar}")

    return show
