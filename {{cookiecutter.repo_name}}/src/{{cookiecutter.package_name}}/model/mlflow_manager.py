"""What MLflow shows of this project's runs and versions."""

from collections.abc import Mapping
from typing import Any


def tags(result: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a training's run and of the version that it registers.

    Args:
        result: The training's result: `reports/training.json` holds the same values.
    """
    return {"team": "retention", "family": str(result["family"])}


def description(result: Mapping[str, Any]) -> str:
    """What lists of versions show; the first line is the title.

    Args:
        result: The training's result.
    """
    low, high = result["interval"]
    score = f"{result['metric']} {result['value']:.4f} ({low:.4f} to {high:.4f})"
    return (
        f"{result['family']}: {score}\n\n"
        f"Learned from {result['n_train']} customers, judged on {result['n_test']} others of "
        f"gold snapshot {result['gold_snapshot']}."
    )
