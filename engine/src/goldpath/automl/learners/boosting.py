"""Gradient boosting that stops at a deadline: LightGBM, XGBoost and scikit-learn's own.

Each learner keeps the loss on the validation rows by number of rounds (`curve`), so that the number
of rounds is chosen over all folds together, not by the luck of one. LightGBM's and XGBoost's models
are stored as their own text, which carries no code, so that skops needs to trust our classes only.
"""

from typing import Any

import numpy as np

from goldpath.automl.budget import Deadline
from goldpath.automl.learners.learner import Parts, complete_probabilities
from goldpath.automl.task import Task, log_loss

CHECKED_EVERY = 5
"""Rounds between two looks at the clock."""


class _Progress:
    """Collects the validation curve; says when to stop."""

    def __init__(self, patience: int, deadline: Deadline) -> None:
        self.curve: list[float] = []
        self._best, self._since = np.inf, 0
        self._patience, self._deadline = patience, deadline

    def enough(self, rounds: int, loss: float | None) -> bool:
        if loss is not None:
            self.curve.append(loss)
            self._since += 1
            if loss < self._best - 1e-9:
                self._best, self._since = loss, 0
            if self._since >= self._patience:
                return True
        return rounds % CHECKED_EVERY == 0 and self._deadline.passed()


def patience(learning_rate: float) -> int:
    """Rounds without progress before a fit ends: small steps need more of them."""
    return int(np.clip(3 / learning_rate, 20, 150))


class LightGBMModel:
    """LightGBM's booster.

    Args:
        parameters: LightGBM's own, and `rounds`, the most trees.
        task: Problem, classes and seed.
    """

    def __init__(self, parameters: dict[str, Any], task: Task) -> None:
        self.parameters = parameters
        self.outputs = task.outputs
        self.rounds = int(parameters["rounds"])
        self.curve: list[float] = []
        self.text = ""
        self.task: Task | None = task
        self._booster: Any = None

    def fit(self, parts: Parts, deadline: Deadline, rounds: int | None = None) -> "LightGBMModel":
        """Add trees until the rounds, the patience or the time is over."""
        import lightgbm

        task = _task_of(self)
        if task.problem == "regression":
            objective, metric = self.parameters.get("objective", "l2"), "rmse"
        elif self.outputs == 2:
            objective, metric = "binary", "binary_logloss"
        else:
            objective, metric = "multiclass", "multi_logloss"
        native = {
            name: value
            for name, value in self.parameters.items()
            if name not in ("rounds", "objective", "categories")
        }
        native |= {
            "objective": objective,
            "metric": metric,
            "seed": task.seed,
            "num_threads": task.threads,
            "verbosity": -1,
            "deterministic": True,
            "force_row_wise": True,
            "bagging_freq": 1,
            "cat_smooth": 20,
            "feature_pre_filter": False,
        }
        if objective == "multiclass":
            native["num_class"] = self.outputs
        train, valid = self._datasets(parts, lightgbm)
        progress = _Progress(patience(self.parameters["learning_rate"]), deadline)

        def look(env: Any) -> None:
            results = env.evaluation_result_list
            if progress.enough(env.iteration + 1, results[0][2] if results else None):
                raise lightgbm.callback.EarlyStopException(env.iteration, results)

        # The one callback has to run before LightGBM's own bookkeeping of the best round.
        look.order = 30  # type: ignore[attr-defined]
        self._booster = lightgbm.train(
            native,
            train,
            num_boost_round=rounds or self.rounds,
            valid_sets=[valid] if valid is not None else None,
            callbacks=[look],
        )
        self.curve = progress.curve
        self.rounds = self._booster.current_iteration()
        self.task = None
        return self

    def use_rounds(self, rounds: int) -> None:
        """Predict with the first trees only."""
        self.rounds = min(rounds, self._booster.current_iteration())

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities of shape (rows, classes), or values."""
        if self._booster is None:
            import lightgbm

            self._booster = lightgbm.Booster(model_str=self.text)
        raw = self._booster.predict(matrix, num_iteration=self.rounds, num_threads=1)
        return np.column_stack([1 - raw, raw]) if self.outputs == 2 else np.asarray(raw)

    def _datasets(self, parts: Parts, lightgbm: Any) -> tuple[Any, Any]:
        """LightGBM's binned rows, made once a fold: several configurations share them."""
        as_categories = bool(self.parameters.get("categories")) and bool(parts.categorical)
        key = ("lightgbm", as_categories)
        if key not in parts.cache:
            train = lightgbm.Dataset(
                parts.train,
                parts.target,
                categorical_feature=list(parts.categorical) if as_categories else [],
                params={"feature_pre_filter": False, "verbosity": -1, "max_bin": 255},
                free_raw_data=False,
            )
            valid = (
                train.create_valid(parts.validation, parts.validation_target)
                if parts.validation is not None
                else None
            )
            parts.cache[key] = (train, valid)
        train, valid = parts.cache[key]
        return train, valid

    def __getstate__(self) -> dict[str, Any]:
        text = (
            self.text
            if self._booster is None
            else self._booster.model_to_string(num_iteration=self.rounds)
        )
        return {"outputs": self.outputs, "rounds": self.rounds, "text": text}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.curve, self.parameters, self.task, self._booster = [], {}, None, None


class XGBoostModel:
    """XGBoost's booster; see `LightGBMModel`."""

    def __init__(self, parameters: dict[str, Any], task: Task) -> None:
        self.parameters = parameters
        self.outputs = task.outputs
        self.rounds = int(parameters["rounds"])
        self.curve: list[float] = []
        self.text = ""
        self.task: Task | None = task
        self._booster: Any = None

    def fit(self, parts: Parts, deadline: Deadline, rounds: int | None = None) -> "XGBoostModel":
        """Add trees until the rounds, the patience or the time is over."""
        import xgboost

        task = _task_of(self)
        progress = _Progress(patience(self.parameters["learning_rate"]), deadline)

        class Look(xgboost.callback.TrainingCallback):  # type: ignore[misc]
            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
                losses = next(iter(evals_log["v"].values())) if evals_log else [None]
                return progress.enough(epoch + 1, losses[-1])

        native = {name: value for name, value in self.parameters.items() if name != "rounds"}
        native |= {"seed": task.seed, "nthread": task.threads, "verbosity": 0}
        native |= {"tree_method": "hist", "max_bin": 255}
        if task.problem == "regression":
            native |= {"objective": "reg:squarederror", "eval_metric": "rmse"}
        elif self.outputs == 2:
            native |= {"objective": "binary:logistic", "eval_metric": "logloss"}
        else:
            native |= {
                "objective": "multi:softprob",
                "eval_metric": "mlogloss",
                "num_class": self.outputs,
            }
        if "xgboost" not in parts.cache:
            train = xgboost.QuantileDMatrix(parts.train, parts.target, max_bin=255)
            valid = (
                xgboost.QuantileDMatrix(
                    parts.validation, parts.validation_target, max_bin=255, ref=train
                )
                if parts.validation is not None
                else None
            )
            parts.cache["xgboost"] = (train, valid)
        train, valid = parts.cache["xgboost"]
        self._booster = xgboost.train(
            native,
            train,
            num_boost_round=rounds or self.rounds,
            evals=[(valid, "v")] if valid is not None else [],
            callbacks=[Look()],
            verbose_eval=False,
        )
        self.curve = progress.curve
        self.rounds = self._booster.num_boosted_rounds()
        self.task = None
        return self

    def use_rounds(self, rounds: int) -> None:
        """Predict with the first trees only."""
        self.rounds = min(rounds, self._booster.num_boosted_rounds())

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities of shape (rows, classes), or values."""
        if self._booster is None:
            import xgboost

            self._booster = xgboost.Booster({"nthread": 1})
            self._booster.load_model(bytearray(self.text, "utf-8"))
        raw = self._booster.inplace_predict(matrix, iteration_range=(0, self.rounds))
        raw = np.asarray(raw, dtype=np.float64)
        return np.column_stack([1 - raw, raw]) if self.outputs == 2 else raw

    def __getstate__(self) -> dict[str, Any]:
        text = (
            self.text
            if self._booster is None
            else self._booster[: self.rounds].save_raw("json").decode()
        )
        return {"outputs": self.outputs, "rounds": self.rounds, "text": text}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.curve, self.parameters, self.task, self._booster = [], {}, None, None


def _task_of(model: LightGBMModel | XGBoostModel) -> Task:
    if model.task is None:
        raise RuntimeError("a fitted booster is not fitted again")
    return model.task


class HistogramModel:
    """scikit-learn's histogram gradient boosting, grown in stages; it needs no other library."""

    FIRST_STAGE = 20
    GROWTH = 1.7

    def __init__(self, parameters: dict[str, Any], task: Task) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        rest = {name: value for name, value in parameters.items() if name != "rounds"}
        self.outputs = task.outputs
        self.rounds = int(parameters["rounds"])
        self.curve: list[float] = []
        self._classify = task.problem == "classification"
        model = HistGradientBoostingClassifier if self._classify else HistGradientBoostingRegressor
        self.model = model(
            random_state=task.seed, early_stopping=False, warm_start=True, max_iter=1, **rest
        )

    def fit(self, parts: Parts, deadline: Deadline, rounds: int | None = None) -> "HistogramModel":
        """Grow the number of trees by stages until it does not help or the time is over."""
        if parts.categorical:
            self.model.set_params(categorical_features=list(parts.categorical))
        most = rounds or self.rounds
        grown, seconds = 0, 0.0
        while grown < most:
            stage = min(most, max(self.FIRST_STAGE, int(grown * self.GROWTH)))
            if grown and np.isfinite(deadline.at):
                per_tree = seconds / grown
                stage = min(stage, grown + int(max(0.0, deadline.left()) / max(per_tree, 1e-9)))
            if stage <= grown:
                break
            before = deadline.stopwatch.elapsed()
            self.model.set_params(max_iter=stage).fit(parts.train, parts.target)
            seconds += deadline.stopwatch.elapsed() - before
            grown = stage
            if parts.validation is not None and self._past_its_best(parts):
                break
        self.rounds = grown
        return self

    def _past_its_best(self, parts: Parts) -> bool:
        stages = (
            self.model.staged_predict_proba(parts.validation)
            if self._classify
            else self.model.staged_predict(parts.validation)
        )
        self.curve = [self._loss(parts, self._complete(stage)) for stage in stages]
        allowed = patience(self.model.learning_rate)
        return len(self.curve) - int(np.argmin(self.curve)) > allowed

    def _loss(self, parts: Parts, outputs: np.ndarray) -> float:
        _, target = parts.held_out()
        if self._classify:
            return log_loss(target, outputs)
        return float(np.sqrt(np.mean((target - outputs) ** 2)))

    def use_rounds(self, rounds: int) -> None:
        """Drop the trees after the first ones; scikit-learn has no public way to."""
        self.model._predictors = self.model._predictors[:rounds]
        self.rounds = len(self.model._predictors)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities of shape (rows, classes), or values."""
        return self._complete(
            self.model.predict_proba(matrix) if self._classify else self.model.predict(matrix)
        )

    def _complete(self, raw: np.ndarray) -> np.ndarray:
        if not self._classify:
            return raw
        return complete_probabilities(raw, self.model.classes_, self.outputs)
