"""Where the engine lies, and the project that its tests read files of."""

from pathlib import Path

ENGINE = Path(__file__).resolve().parents[1]
# What a bake with the default answers holds; a test of the template compares the two.
PROJECT = ENGINE / "tests" / "project"
