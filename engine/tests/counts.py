"""How often a test repeats what it does: enough to fail here, far more in `make test-soak`.

`MLOPS_TEST_SOAK=1` asks for the full counts of kills, questions and seconds, and chooses
Hypothesis' profile `soak`; `HYPOTHESIS_PROFILE` or pytest's `--hypothesis-profile` choose one
alone. Tests that repeat more often then bear the marker `soak`.
"""

import os

from hypothesis import settings

# Read once: each test begins without a variable of the person who runs it.
SOAK = os.environ.get("MLOPS_TEST_SOAK") == "1"


def load_profile() -> None:
    """Let Hypothesis know how many examples a test tries."""
    # Without chance, a failure is the code's; what chance may find is the soak's to look for.
    settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True, database=None)
    settings.register_profile("soak", deadline=None, max_examples=500)
    usual = "soak" if SOAK else "ci"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", usual))


def times(usual: int, soak: int) -> int:
    """How often to repeat."""
    return soak if SOAK else usual


def examples(usual: int, soak: int) -> int:
    """How many examples Hypothesis tries of a test where the profile's own number will not do."""
    return soak if settings.get_current_profile_name() == "soak" else usual
