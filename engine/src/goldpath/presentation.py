"""How results and errors look: a short table for people, one JSON object for scripts."""

import contextlib
import dataclasses
import io
import json
import math
import os
import re
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from textwrap import indent
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from goldpath.errors import ProjectError
from goldpath.reports import finite

if TYPE_CHECKING:
    from goldpath.adoption.decisions import Decision
    from goldpath.adoption.infer import Adoption

LONG_ID = re.compile(r"(?<![0-9A-Za-z])(?=[0-9]*[a-f])[0-9a-f]{16,64}(?![0-9A-Za-z])")
"""Run ids and digests; a snapshot's number, which has no letters, stays as commands take it."""

FOR_SCRIPTS = {"shown": False}
"""Metadata of a result's field that `--json` has and the table for people leaves out."""

PERIOD = re.compile(r"\d{4}(-\d\d){1,2}")
LISTED_PERIODS = 4
"""More months or days than that are shown as a range, with their number."""

ID_LETTERS = 8
NUMBER_OR_TIME = re.compile(r"[-+.,:\d ]*")

console = Console(highlight=False)
progress_console = Console(stderr=True, highlight=False)


def nobody_reads() -> bool:
    """Whether the reader of the output has gone, as `head` does; then the rest is dropped."""
    gone = False
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(io.UnsupportedOperation):  # of one that is no file
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if poll.poll(0):  # errors only: its other end is closed
                # The interpreter flushes once more at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
                gone = True
    return gone


def show(result: object, as_json: bool) -> None:
    """Print a result, field by field; people see no field that is empty or for scripts alone."""
    values = as_plain(result)
    if as_json:
        print_json(values)
        return
    hidden = _fields_for_scripts(result)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in values.items():
        if key not in hidden and not _is_empty(value):
            table.add_row(key.replace("_", " "), _cell(value))
    console.print(table)


def show_rows(rows: Sequence[object], title: str) -> None:
    """Print dataclasses of one kind as a table, a line for each, in the width of the terminal.

    Ids are shortened, times end with the second, and what is too long is cut with an ellipsis;
    a last line says how to see all of it.
    """
    plain = [as_plain(row) for row in rows]
    if not plain:
        return console.print(_escape(f"{title}: nothing"))
    lines = [[one_line(value) for value in values.values()] for values in plain]
    table = Table(title=_escape(title), title_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(plain[0]):
        # Numbers and times keep their width; of the texts the longest are cut first.
        kept = all(NUMBER_OR_TIME.fullmatch(line[number]) for line in lines)
        table.add_column(name.replace("_", " "), no_wrap=kept, overflow="ellipsis")
    for line in lines:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in line))
    console.print(table)
    natural = Console(width=10_000).measure(table).maximum
    if natural > console.width or LONG_ID.search(str(plain)):
        console.print("[dim]Shortened to one line a row; in full: --json[/dim]")
    return None


def one_line(value: object) -> str:
    """A value in one line of a table: ids are shortened, times end with the second."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {one_line(item)}" for key, item in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(one_line(item) for item in value) or "-"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "undefined"
    text = "-" if value is None else " ".join(str(value).split())
    return LONG_ID.sub(lambda found: found.group()[:ID_LETTERS], text)


def show_list(name: str, rows: Sequence[object], title: str, as_json: bool) -> None:
    """Print rows as a table, or as one JSON object with a list called `name`."""
    if as_json:
        print_json({name: [as_plain(row) for row in rows]})
    else:
        show_rows(rows, title)


def show_adoption(
    adoption: "Adoption",
    as_json: bool,
    following: str = "make data, make train-local, make serve",
) -> None:
    """Print what `adopt` or `add-source` decided about each column, and why."""
    if as_json:
        print_json(as_plain(adoption))
        return
    title = _escape(f"What was decided about {adoption.file}")
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("column", "role"):
        table.add_column(heading, style="bold" if heading == "column" else "", overflow="fold")
    for heading in ("values", "why"):
        table.add_column(heading, ratio=1)
    for each in adoption.decisions:
        cells = (each.column, each.role, _values(each), each.reason)
        table.add_row(*map(_escape, cells))
    console.print(table)
    for note in adoption.notes:
        console.print(f"[yellow]![/yellow] {_escape(note)}")
    console.print(f"Written: {_escape(adoption.contract_file)}. Next: {_escape(following)}.")


def _values(decision: "Decision") -> str:
    """What a column holds: its type, which values, and how many are missing."""
    said = [each for each in (decision.type, decision.domain) if each not in ("", "-")]
    if decision.missing not in ("", "-", "none"):
        said.append(f"{decision.missing} missing")
    return "; ".join(said) or "-"


def show_error(error: ProjectError, as_json: bool) -> None:
    """Print an error that a person can mend, on standard error (JSON on standard output)."""
    if as_json:
        print_json({"error": error.message, "fix": error.fix, "exit_code": error.exit_code})
        return
    progress_console.print(f"[bold red]Error:[/bold red] {_escape(error.message)}")
    if error.fix:
        progress_console.print(f"[bold]Fix:[/bold] {_escape(error.fix)}")


def step(message: str) -> None:
    """Say on standard error which step begins."""
    progress_console.print(f"[cyan]>[/cyan] {_escape(message)}")


@contextlib.contextmanager
def trial_progress(trials: int, done: int = 0) -> Iterator[Callable[[int, float], None]]:
    """A progress bar on standard error; yields what the search calls after each trial."""
    columns = (
        TextColumn("  trial {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=progress_console) as progress:
        task = progress.add_task("searching", total=trials, completed=done)

        def on_trial(number: int, best: float) -> None:
            progress.update(task, completed=number, description=f"best {best:.4f}")

        yield on_trial


@contextlib.contextmanager
def budget_progress(seconds: float | None) -> Iterator[Callable[[float, int, float], None]]:
    """A progress bar over a budget of seconds; yields what is called with time, count and best."""
    columns = (
        TextColumn(
            "  {task.completed:.0f} s" + ("" if seconds is None else " of {task.total:g} s")
        ),
        BarColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=progress_console) as progress:
        task = progress.add_task("searching", total=seconds)

        def on_point(elapsed: float, tried: int, best: float) -> None:
            progress.update(task, completed=elapsed, description=f"{tried} tried, best {best:.4f}")

        yield on_point


def as_plain(result: object) -> dict[str, Any]:
    """A dataclass or a mapping as a dictionary for JSON."""
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return dataclasses.asdict(result)
    if isinstance(result, Mapping):
        return dict(result)
    raise TypeError(f"a result is a dataclass or a mapping, not {type(result).__name__}")


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output; numbers that JSON lacks become null."""
    sys.stdout.write(json.dumps(finite(values), default=str, allow_nan=False) + "\n")


def _fields_for_scripts(result: object) -> set[str]:
    if not dataclasses.is_dataclass(result):
        return set()
    return {
        each.name for each in dataclasses.fields(result) if not each.metadata.get("shown", True)
    }


def _is_empty(value: object) -> bool:
    """Whether there is nothing to show; 0 and False are something."""
    return value is None or (isinstance(value, (str, Mapping, Sequence)) and not value)


def _cell(value: object) -> str:
    """A value on as many lines as it needs; what a mapping holds is indented below its key."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "undefined"
    if isinstance(value, Mapping):
        return "\n".join(_entry(key, item) for key, item in value.items() if not _is_empty(item))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _listed([_cell(item) for item in value])
    return "-" if value is None else _escape(str(value))


def _entry(key: object, value: object) -> str:
    if not isinstance(value, Mapping):
        return f"{_escape(str(key))}: {_cell(value)}"
    return f"{_escape(str(key))}:\n" + indent(_cell(value), "  ")


def _listed(items: Sequence[str]) -> str:
    """Items with commas, sentences in lines; many periods in a row as 2025-01 to 2025-12 (12)."""
    if any(each.endswith(".") for each in items):
        return "\n".join(items)
    periods = [each for each in items if PERIOD.fullmatch(each)]
    if len(periods) <= LISTED_PERIODS or not _are_in_a_row(periods):
        return ", ".join(items)
    others = [each for each in items if each not in periods]
    return ", ".join([f"{min(periods)} to {max(periods)} ({len(periods)})", *others])


def _are_in_a_row(periods: Sequence[str]) -> bool:
    """Whether these months, or days, leave none out between the first and the last."""
    try:
        numbers = sorted({_number(each) for each in periods})
    except ValueError:  # digits that look like a day and are none
        return False
    are_alike = len({len(each) for each in periods}) == 1
    return are_alike and numbers[-1] - numbers[0] == len(numbers) - 1


def _number(period: str) -> int:
    """The number of a day, or of a month, counted from year 0."""
    year, month, *day = map(int, period.split("-"))
    return date(year, month, *day).toordinal() if day else year * 12 + month


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
