"""Which retrainings there were: `audit/retraining.jsonl`, a line for each beginning and each end.

A further model has `retraining-NAME.jsonl`.

It lies beside the registry's audit log, so that cleaning reports starts no cooldown anew. Where
each step runs in a container of its own, they share this folder: without it no limit would hold.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from goldpath.errors import CheckFailedError, ProjectError

FOLDER = "audit"
RUNNING, INTERRUPTED, KILLED = "running", "interrupted", "killed"


class LedgerError(ProjectError):
    """The record of earlier retrainings cannot be read, so that no limit could be kept."""


@dataclass(frozen=True)
class Retraining:
    """A retraining.

    Attributes:
        id: Its name, that of the training's run.
        started: When it was let through.
        source: Whose rows, or `labels`.
        reason: The verdict that it follows from.
        champion: The version that was champion then.
        outcome: `running`, `promoted`, `refused` by the gate, `failed`, `handed over` to Airflow,
            `interrupted` by Ctrl-C or a stop of the servers, or `killed`, which is seen later.
        detail: The new version, the gate's reason, or Airflow's run.
        ended: When; empty where nobody said.
    """

    id: str
    started: str
    source: str
    reason: str
    champion: str
    outcome: str = RUNNING
    detail: str = ""
    ended: str = ""

    @property
    def at(self) -> datetime:
        """When it was let through, aware."""
        return datetime.fromisoformat(self.started).astimezone(UTC)


class Ledger:
    """The retrainings of a project.

    Args:
        root: The project's folder.
        model: A further model, whose limits count by themselves; empty: the main one.
    """

    def __init__(self, root: Path, model: str = "") -> None:
        self.file = root / FOLDER / (f"retraining-{model}.jsonl" if model else "retraining.jsonl")

    def read(self) -> list[Retraining]:
        """Every retraining, the oldest first.

        Raises:
            LedgerError: If a line is damaged: without it no cooldown and no budget holds.
        """
        if not self.file.exists():
            return []
        found: dict[str, Retraining] = {}
        for number, line in enumerate(self.file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                each = Retraining(**json.loads(line))
                datetime.fromisoformat(each.started)
            except (ValueError, TypeError) as error:
                raise LedgerError(
                    f"{self.file}, line {number} is damaged: {error}",
                    "correct or remove the line; it says when the model was trained again",
                ) from error
            found[each.id] = each
        return list(found.values())

    def begin(self, retraining: Retraining) -> None:
        """Write down that a retraining begins."""
        self._append(retraining)

    def end(self, retraining: Retraining, outcome: str, detail: str) -> Retraining:
        """Write down what became of it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        ended = replace(retraining, outcome=outcome, detail=detail, ended=now)
        self._append(ended)
        return ended

    def read_ended(self) -> list[Retraining]:
        """Every retraining, inside `only_one`: one without an end was killed, and is so recorded.

        Raises:
            LedgerError: If a line is damaged.
        """
        for each in self.read():
            if each.outcome == RUNNING:
                self._append(replace(each, outcome=KILLED, detail="its process ended in silence"))
        return self.read()

    @contextmanager
    def only_one(self) -> Iterator[None]:
        """Refuse a second retraining beside a running one; a killed one frees the lock.

        Raises:
            CheckFailedError: If one is running.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CheckFailedError(
                    "no retraining: another one is running", "wait for its end"
                ) from error
            yield

    def is_held(self) -> bool:
        """Whether a retraining runs."""
        if not self.file.with_suffix(".lock").exists():
            return False
        try:
            with self.only_one():
                return False
        except CheckFailedError:
            return True

    def _append(self, retraining: Retraining) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as output:
            output.write(json.dumps(asdict(retraining)) + "\n")
            output.flush()
            os.fsync(output.fileno())
