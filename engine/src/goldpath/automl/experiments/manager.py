"""Experiments: data in, the best model and everything about it out, kept as files.

`<folder>/experiments/<manager>/<experiment>/experiment.json` describes an experiment, and
`runs/<run>/` beside it holds each run's result, model and report. Every file is written once and in
one step, and no file is shared by two runs, so any number of processes may work side by side.
"""

import contextlib
import json
import os
import re
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from goldpath.automl.budget import Budget
from goldpath.automl.clustering import find_clusters
from goldpath.automl.engine import find_model
from goldpath.automl.experiments.files import RESULT_FILE, keep_results, read_results
from goldpath.automl.experiments.results import (
    Experiment,
    ExperimentError,
    ExperimentResults,
    results_of_clustering,
    results_of_search,
)
from goldpath.automl.report import make_report, plain
from goldpath.automl.structure.structure import Groups
from goldpath.settings import AutoMLSettings, SettingsError, load_settings

ProblemType = Literal["classification", "regression", "clustering"]
PROBLEM_TYPES = ("classification", "regression", "clustering")
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
EXPERIMENTS, RUNS = "experiments", "runs"
EXPERIMENT_FILE = "experiment.json"
REPORT_SECONDS = 10.0
LEAST_REPORT_SECONDS = 1.0


class ExperimentManager:
    """Makes, runs and remembers experiments.

    Args:
        name: Keeps experiments of different purposes apart.
        folder: Where they are kept: `automl.folder` of the project where not given, and `automl` in
            the current folder where there is no project.

    Example:
        >>> import numpy as np
        >>> from goldpath import ExperimentManager
        >>> manager = ExperimentManager("pricing", folder="automl")
        >>> experiment_id = manager.create_experiment("Rents", dataset_info={"target": "rent"})
        >>> area = np.linspace(20, 120, 200)
        >>> results = manager.run_basic_experiment(
        ...     experiment_id, X=area[:, None], y=12 * area, problem_type="regression",
        ...     trials=2, families=["linear"], report=False,
        ... )
        >>> results.best_family, results["metric"]
        ('linear', 'rmse')
        >>> manager.get_results(experiment_id).run_id == results.run_id
        True
    """

    def __init__(self, name: str = "default", folder: str | Path | None = None) -> None:
        self.name = _slug(name)
        self.base = Path(folder) if folder is not None else default_folder()
        self.folder = self.base / EXPERIMENTS / self.name

    def create_experiment(
        self,
        name: str,
        description: str = "",
        dataset_info: Mapping[str, Any] | None = None,
    ) -> str:
        """Make an experiment.

        Args:
            name: For people; the id begins with it.
            description: For people.
            dataset_info: Anything about the data, such as its shape and its target.

        Returns:
            Its id.
        """
        experiment_id = f"{_slug(name)[:48]}-{uuid.uuid4().hex[:8]}"
        self._create(experiment_id, name, description, dataset_info or {})
        return experiment_id

    def run_basic_experiment(
        self,
        experiment_id: str,
        X: Any,  # noqa: N803  the name that users know
        y: Any = None,
        problem_type: ProblemType = "classification",
        budget: float | None = None,
        *,
        trials: int | None = None,
        metric: str | None = None,
        families: Sequence[str] | None = None,
        time_ordered: bool | None = None,
        groups: Groups = None,
        latency_ms: float | None = None,
        seed: int = 42,
        report: bool = True,
        **options: Any,
    ) -> ExperimentResults:
        """Search the best model for a table as it comes, and keep it.

        Args:
            experiment_id: An experiment; where nobody has made one of this id, it is made now.
            X: A DataFrame, an array or a list of rows; types may be mixed, values may be missing.
            y: The target, one value a row; None for clusters.
            problem_type: classification, regression or clustering.
            budget: Seconds for the search (`automl.budget_seconds` where not given); the report
                takes a quarter of it at most on top.
            trials: The most configurations.
            metric: What to optimise; see `find_model`.
            families: What to choose from; everything that can be used where not given.
            time_ordered: The rows are in the order of time; found out if not said.
            groups: One value a row, or a column's name: rows of a group stay together. False for
                none; found out if not said.
            latency_ms: Milliseconds that the model may take for one row; see `find_model`.
            seed: Of everything random.
            report: Whether to write `report.html` and `report.json` beside the result.
            options: Further arguments of `find_model`.

        Raises:
            ExperimentError: If the id or the problem type cannot be, or the target is missing.
            ProjectError: If the table, the target or an argument cannot be used.
            NotEnoughDataError: For too few rows or one class only.
        """
        _check_problem(problem_type, y)
        experiment_id = _checked_id(experiment_id)
        table = as_table(X)
        spent = Budget(
            seconds=budget if budget is not None or trials else _default_budget(), trials=trials
        )
        if not self._file(experiment_id).is_file():
            info = {"shape": list(table.shape)}
            self._create(experiment_id, experiment_id, "", info, or_known=True)
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        folder = self._file(experiment_id).parent / RUNS / run_id
        if problem_type == "clustering":
            clusters = find_clusters(table, spent, seed=seed)
            results = results_of_clustering(
                experiment_id, run_id, folder, table, spent, clusters, seed
            )
        else:
            found = find_model(
                table,
                np.asarray(y),
                problem_type,
                spent,
                metric=metric,
                families=families,
                time_ordered=time_ordered,
                groups=groups,
                latency_ms=latency_ms,
                seed=seed,
                **options,
            )
            results = results_of_search(experiment_id, run_id, folder, table, y, spent, found)
        page = None
        if report and problem_type != "clustering":
            limit = float(np.clip((spent.seconds or 0) / 4, LEAST_REPORT_SECONDS, REPORT_SECONDS))
            page = make_report(
                found,
                table,
                np.asarray(y),
                title=self.get_experiment(experiment_id).name,
                budget_seconds=spent.seconds,
                rows_seen=True,
                seconds=limit,
            )
        keep_results(folder, results, page)
        return results

    def get_experiment(self, experiment_id: str) -> Experiment:
        """An experiment and its runs' ids.

        Raises:
            ExperimentError: If there is none of this id.
        """
        file = self._file(_checked_id(experiment_id))
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            known = [item.experiment_id for item in self.list_experiments()]
            raise ExperimentError(
                f"there is no experiment {experiment_id!r} of {self.name!r}",
                f"create_experiment makes one; there is {', '.join(known) or 'none yet'}",
            ) from error
        runs = file.parent / RUNS
        finished = (
            sorted(item.name for item in runs.iterdir() if (item / RESULT_FILE).is_file())
            if runs.is_dir()
            else []
        )
        return Experiment(**values, runs=tuple(finished))

    def list_experiments(self) -> list[Experiment]:
        """All experiments of this manager, oldest first."""
        found = [
            self.get_experiment(file.parent.name)
            for file in self.folder.glob(f"*/{EXPERIMENT_FILE}")
        ]
        return sorted(found, key=lambda item: (item.created_at, item.experiment_id))

    def get_results(self, experiment_id: str, run_id: str | None = None) -> ExperimentResults:
        """A former run's results with its model; the newest run where none is named.

        Raises:
            ExperimentError: If there is no such run.
        """
        experiment = self.get_experiment(experiment_id)
        if run_id is None and experiment.runs:
            run_id = experiment.runs[-1]
        if run_id is None or run_id not in experiment.runs:
            raise ExperimentError(
                f"the experiment {experiment_id!r} has no run {run_id or ''!r}",
                f"there is {', '.join(experiment.runs) or 'none yet: run_basic_experiment'}",
            )
        return read_results(self._file(experiment_id).parent / RUNS / run_id)

    def _create(
        self,
        experiment_id: str,
        name: str,
        description: str,
        dataset_info: Mapping[str, Any],
        *,
        or_known: bool = False,
    ) -> None:
        values = {
            "experiment_id": experiment_id,
            "name": name,
            "description": description,
            "dataset_info": plain(dict(dataset_info)),
            "created_at": datetime.now(UTC).isoformat(),
        }
        file = self._file(experiment_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{uuid.uuid4().hex}.part")
        part.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        try:
            # A link is made in one step and never over a file that is there.
            os.link(part, file)
        except FileExistsError as error:
            if not or_known:
                raise ExperimentError(
                    f"there is an experiment {experiment_id!r} already", "choose another name"
                ) from error
        finally:
            part.unlink()

    def _file(self, experiment_id: str) -> Path:
        return self.folder / experiment_id / EXPERIMENT_FILE


def default_folder() -> Path:
    """The project's folder for AutoML; `automl` in the current folder without a project."""
    with contextlib.suppress(SettingsError):
        settings = load_settings()
        return settings.root / settings.automl.folder
    return Path.cwd() / AutoMLSettings().folder


def as_table(values: Any) -> pd.DataFrame:
    """Rows as a DataFrame whose columns have text for names.

    Raises:
        ExperimentError: If they have no rows and columns.
    """
    if not isinstance(values, pd.DataFrame):
        try:
            values = pd.DataFrame(values)
        except (ValueError, TypeError) as error:
            raise ExperimentError(
                f"X cannot be read as rows and columns: {error}",
                "give a DataFrame, an array of two dimensions or a list of rows",
            ) from error
    table = cast(pd.DataFrame, values).reset_index(drop=True)
    if any(not isinstance(name, str) for name in table.columns):
        table = table.set_axis([str(name) for name in table.columns], axis=1)
    return table


def _check_problem(problem_type: str, y: Any) -> None:
    if problem_type not in PROBLEM_TYPES:
        raise ExperimentError(
            f"the problem type is {problem_type!r}; expected {', '.join(PROBLEM_TYPES)}",
            'say problem_type="classification"',
        )
    if problem_type != "clustering" and y is None:
        raise ExperimentError(
            f"{problem_type} needs a target, and y is None",
            'give y, or say problem_type="clustering"',
        )
    if problem_type == "clustering" and y is not None:
        raise ExperimentError("clusters are found without a target, and y was given", "say y=None")


def _checked_id(experiment_id: str) -> str:
    if not re.match(ID_PATTERN, experiment_id):
        raise ExperimentError(
            f"{str(experiment_id)[:80]!r} cannot be an experiment's id",
            "use up to 63 letters, digits, hyphens and underscores",
        )
    return experiment_id


def _slug(name: str) -> str:
    """`Previsão de Vendas` gives `previsao-de-vendas`."""
    plain_text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9_]+", "-", plain_text.lower()).strip("-_")
    return slug[:63] or "experiment"


def _default_budget() -> float:
    with contextlib.suppress(SettingsError):
        return load_settings().automl.budget_seconds
    return AutoMLSettings().budget_seconds
