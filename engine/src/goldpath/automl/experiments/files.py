"""A run's files: its result, its model and its report; written whole, or not at all."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from goldpath.automl.experiments.results import ExperimentResults
from goldpath.automl.report import plain
from goldpath.automl.report_page import write_report_files
from goldpath.automl.result import HistoryPoint, LeaderboardEntry, Option
from goldpath.automl.structure.findings import Finding
from goldpath.registry.files.pipeline import read_pipeline

RESULT_FILE, MODEL_FILE = "result.json", "model.skops"


def keep_results(folder: Path, results: ExperimentResults, page: Any) -> None:
    """Write a run's files elsewhere and move them into place: whole, or not there."""
    from skops.io import dump

    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".run-", dir=folder.parent) as name:
        draft = Path(name) / folder.name
        draft.mkdir()
        dump(results.model, draft / MODEL_FILE)
        if page is not None:
            write_report_files(page, draft, "report")
        values = results.to_dict()
        if results.labels is not None:
            values["labels"] = plain(results.labels)
        (draft / RESULT_FILE).write_text(
            json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )
        draft.replace(folder)


def read_results(folder: Path) -> ExperimentResults:
    """The results and the model that a run has left in its folder."""
    values = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    labels = values.pop("labels", None)
    return ExperimentResults(
        **{
            **values,
            "leaderboard": tuple(
                LeaderboardEntry(**{**entry, "fold_scores": tuple(entry["fold_scores"])})
                for entry in values["leaderboard"]
            ),
            "history": tuple(HistoryPoint(**point) for point in values["history"]),
            "findings": tuple(Finding(**one) for one in values.get("findings", ())),
            "options": tuple(
                Option(**{**one, "families": tuple(one["families"])})
                for one in values.get("options", ())
            ),
            "interval": tuple(values["interval"]) if values.get("interval") else None,
            "features": tuple(values["features"]),
            "classes": tuple(values["classes"]),
            "folder": str(folder),
        },
        model=read_pipeline(folder / MODEL_FILE, str(folder)),
        labels=None if labels is None else np.asarray(labels),
    )
