"""What was found about how the rows hang together, and what was done because of it."""

from dataclasses import dataclass
from typing import Literal

Folds = Literal["random", "time", "groups", "own"]

SPOKEN_FOLDS = {
    "random": "random rows",
    "time": "rows newer than those learned from",
    "groups": "groups of which no row was learned from",
    "own": "the rows that the caller chose",
}
"""What a model is judged on."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        about: An order in time, groups of rows, a key or a position in time that is no feature, the
            budget, or how long a prediction takes.
        column: The column, or columns; empty where the rows themselves show it.
        evidence: What was found.
        done: What was done by default.
        question: What only somebody who knows the data can tell; empty where nothing is asked.
        option: The argument that answers it otherwise than the default.
    """

    about: Literal["order", "groups", "key", "position", "budget", "latency"]
    column: str
    evidence: str
    done: str
    question: str = ""
    option: str = ""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        if not self.option:
            return f"{self.evidence}; {self.done}."
        asked = f"{self.question} If so, say" if self.question else "Say"
        return f"{self.evidence}; {self.done}. {asked} {self.option}."
