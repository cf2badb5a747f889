"""What tests said of mutants, and what is kept of it for the next sitting."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Set
from dataclasses import asdict, dataclass
from pathlib import Path

from mutation.mutants import Mutant
from mutation.rooms import read

TESTS_PASSED = 0
NEARBY_LINES, LIKELY_TESTS = 15, 4


@dataclass(frozen=True)
class Outcome:
    """What a run of tests says of a mutant.

    Attributes:
        code: Pytest's, negative for a signal that ended it; None where a test took too long.
        failed: The tests that failed.
    """

    code: int | None
    failed: tuple[str, ...] = ()

    @property
    def by(self) -> str:
        """The test that noticed the mutant; empty for none, and where its module did not load."""
        return self.failed[0] if self.failed else ""


class Kept:
    """What was noticed in earlier sittings with the same seed, a line of JSON for each mutant.

    Threads may share it: a line is one write.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._found: dict[str, Outcome] = {}
        self._nearby: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for line in file.read_text("utf-8").splitlines() if file.exists() else ():
            entry = json.loads(line)
            self._found[entry["mutant"]] = Outcome(entry["code"], tuple(entry["failed"]))

    def __contains__(self, mutant: Mutant) -> bool:
        return self._name(mutant) in self._found

    def get(self, mutant: Mutant) -> Outcome | None:
        """What noticed a mutant, if something did."""
        return self._found.get(self._name(mutant))

    def add(self, mutant: Mutant, outcome: Outcome) -> None:
        """Keep an outcome, unless the mutant survived."""
        if outcome.code == TESTS_PASSED:
            return
        if outcome.by:
            self._nearby[mutant.module].append((mutant.line, outcome.by))
        entry = {"mutant": self._name(mutant), **asdict(outcome)}
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(entry) + "\n")

    def likely(self, mutant: Mutant, among: Set[str]) -> list[str]:
        """The tests that noticed most of the mutants nearby in this sitting."""
        counts = Counter(
            test
            for line, test in self._nearby[mutant.module]
            if test in among and abs(line - mutant.line) <= NEARBY_LINES
        )
        return [test for test, _ in counts.most_common(LIKELY_TESTS)]

    @staticmethod
    def _name(mutant: Mutant) -> str:
        text = hashlib.sha256(read(mutant.module).encode()).hexdigest()[:16]
        return f"{mutant.module} {text} {mutant.operator} {mutant.occurrence}"
