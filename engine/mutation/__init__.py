"""Change one line at a time where a fault would hurt most, and see whether a test notices.

    PYTHON -m mutation [--mutants 300] [--seed N] [--room NAME] [--workers 2]
                       [--minutes N] [--quick]

A random sample of Cosmic Ray's mutants of each room (`rooms.py`) is tried against the tests that
the room names; the seed is printed, and gives the same sample again (`mutants.py`). What no test
could notice is left out before the sample is drawn, by the rules of `rules.py` and the list
`unseen.toml`; how much that is, by rule, is printed. Each file of tests runs once without a mutant,
with coverage, which is kept in `.mutation` until the file or the package changes (`measuring.py`).
A mutant is tried against the tests that run its statement (of one that runs at import: those that
use its names; `seen.py`), those first that noticed others nearby, then the quickest. All
mutants are tried on the unit tests of their room before the other tests are measured and asked for
the rest (`trying.py`). One that these do not notice is tried on the tests that do not run it, too
(what another process runs is not seen), but for `--quick`, which calls it a survivor at once. Tests
run in forks of a process that has imported third-party packages (`runner.py`, `warm_tests.py`). A
mutant that all pass on is printed as a difference; each is a line that nobody tests, or one that
means the same.

That a test fails counts only where it is the mutant's doing. Before the first mutant of a room all
of its tests must pass in a fork, by their ids, on a file that was written anew without a change,
and a module that cannot be imported must be noticed. After the last one the tests that noticed
something must pass without a mutant; what was noticed by one that fails is not counted. A process
that a signal ended is a timeout if that was the clock's, and else tried a second time.

What was noticed is kept in `mutation-SEED.jsonl` (`outcomes.py`), so that hours of it can be
several sittings: the same seed goes on where it was ended. Survivors, and mutants of a module that
has changed since, are tried again.

Exits with 1 where fewer than nine of ten were noticed. Run by `make mutation`; CI does not run it.
"""
