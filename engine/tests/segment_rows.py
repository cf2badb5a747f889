"""Rows of four known groups, and rows of none: what tests of a clustering begin with."""

import numpy as np
import pandas as pd

CENTRES = np.array([[60, 30, 5], [10, 90, 1], [12, 25, 40], [58, 95, 38]])
PLANS = np.array(
    [
        ["basic", "basic", "basic"],
        ["premium", "premium", "basic"],
        ["basic", "standard", "standard"],
        ["premium", "premium", "standard"],
    ]
)


def grouped(rows: int, seed: int = 5) -> tuple[pd.DataFrame, np.ndarray]:
    """Customers of four kinds, and the kind of each."""
    dice = np.random.default_rng(seed)
    kinds = dice.integers(0, 4, rows)
    numbers = CENTRES[kinds] + dice.normal(size=(rows, 3)) * [4, 6, 3]
    frame = pd.DataFrame(
        {
            "customer": [f"c{seed}-{number}" for number in range(rows)],
            "tenure": numbers[:, 0].round(1),
            "charges": pd.Series(numbers[:, 1].round(2)).mask(dice.random(rows) < 0.02),
            "visits": numbers[:, 2].round(1),
            "plan": PLANS[kinds, dice.integers(0, 3, rows)],
            "paperless": dice.random(rows) < np.array([0.2, 0.8, 0.5, 0.5])[kinds],
        }
    )
    return frame, kinds


def shapeless(rows: int, seed: int = 5) -> pd.DataFrame:
    """Five numbers, drawn evenly and apart from each other."""
    dice = np.random.default_rng(seed)
    return pd.DataFrame({f"x{number}": dice.uniform(size=rows).round(4) for number in range(5)})
