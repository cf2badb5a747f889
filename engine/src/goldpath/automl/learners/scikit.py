"""Forests, linear models, kernels and neighbours: scikit-learn's classes behind `Learner`."""

from typing import Any, Self

import numpy as np

from goldpath.automl.budget import Deadline
from goldpath.automl.learners.learner import Parts, complete_probabilities
from goldpath.automl.task import Task

FOREST_STAGE = 20


class ForestModel:
    """A random forest or extremely randomised trees, grown until the deadline."""

    def __init__(self, parameters: dict[str, Any], task: Task) -> None:
        from sklearn import ensemble

        kind = {"random_forest": "RandomForest", "extra_trees": "ExtraTrees"}[parameters["kind"]]
        rest = {name: value for name, value in parameters.items() if name not in ("kind", "rounds")}
        self.classify = task.problem == "classification"
        self.outputs = task.outputs
        self.rounds = int(parameters["rounds"])
        self.curve: list[float] = []
        made = getattr(ensemble, f"{kind}{'Classifier' if self.classify else 'Regressor'}")
        self.model = made(
            random_state=task.seed, warm_start=True, n_estimators=1, n_jobs=task.threads, **rest
        )

    def fit(self, parts: Parts, deadline: Deadline, rounds: int | None = None) -> "ForestModel":
        """Grow trees by stages; a forest cut short is a smaller forest, not a worse tree."""
        most, grown = rounds or self.rounds, 0
        timed = np.isfinite(deadline.at)
        # The first tree tells how many there is time for.
        stage = 1 if timed else FOREST_STAGE
        while grown < most and stage:
            before = deadline.stopwatch.elapsed()
            stage = min(stage, most - grown)
            grown += stage
            self.model.set_params(n_estimators=grown).fit(parts.train, parts.target)
            seconds = max((deadline.stopwatch.elapsed() - before) / stage, 1e-6)
            stage = FOREST_STAGE
            if timed:
                stage = int(np.clip(deadline.left() / seconds, 0, FOREST_STAGE))
        self.rounds = grown
        # Threads cost more than they gain where few rows are predicted.
        self.model.set_params(n_jobs=1)
        return self

    def use_rounds(self, rounds: int) -> None:
        """More trees are never worse."""

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities of shape (rows, classes), or values."""
        # As scikit-learn adds its trees up, without what it checks and schedules for each of them:
        # of a single row that takes ten times as long as the trees.
        trees = self.model.estimators_
        total = np.zeros((len(matrix), trees[0].tree_.max_n_classes if self.classify else 1))
        for tree in trees:
            total += tree.tree_.predict(matrix).reshape(total.shape)
        mean = total / len(trees)
        if not self.classify:
            return np.asarray(mean[:, 0])
        return complete_probabilities(mean, self.model.classes_, self.outputs)


class PipelineModel:
    """A scikit-learn model that is fitted in one go; whether there is time is asked before."""

    def __init__(self, parameters: dict[str, Any], task: Task) -> None:
        self.parameters = dict(parameters)
        self.classify = task.problem == "classification"
        self.outputs = task.outputs
        self.seed = task.seed
        self.rounds = 1
        self.curve: list[float] = []

    def fit(
        self,
        parts: Parts,
        deadline: Deadline,  # noqa: ARG002
        rounds: int | None = None,  # noqa: ARG002
    ) -> Self:
        """Fit all at once."""
        self.model = self._build(*parts.train.shape)
        self.model.fit(parts.train.astype(np.float64), parts.target)
        return self

    def use_rounds(self, rounds: int) -> None:
        """There is one round."""

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities of shape (rows, classes), or values."""
        rows = matrix.astype(np.float64)
        if not self.classify:
            return np.asarray(self.model.predict(rows))
        raw = self.model.predict_proba(rows)
        return complete_probabilities(raw, self.model.classes_, self.outputs)

    def _build(self, rows: int, columns: int) -> Any:
        raise NotImplementedError


class LinearModel(PipelineModel):
    """Logistic or ridge regression, on the columns, their products, or splines of them."""

    def _build(self, rows: int, columns: int) -> Any:  # noqa: ARG002
        from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

        strength, mixture = self.parameters["strength"], self.parameters.get("mixture", 0.0)
        if self.classify:
            # The penalty's weight beside the mean loss does not depend on the number of rows.
            model = LogisticRegression(C=1 / strength, max_iter=200, tol=1e-3)
        elif mixture:
            model = ElasticNet(alpha=strength / rows, l1_ratio=mixture, max_iter=2000, tol=1e-3)
        else:
            model = Ridge(alpha=strength)
        steps: dict[str, list[Any]] = {
            "columns": [],
            "products": [PolynomialFeatures(2, include_bias=False), StandardScaler()],
            "splines": [SplineTransformer(n_knots=6, knots="quantile"), StandardScaler()],
        }
        return make_pipeline(*steps[self.parameters["basis"]], model)


class KernelModel(PipelineModel):
    """A Gaussian kernel by Nyström's method (Williams and Seeger 2001) below a linear model."""

    def _build(self, rows: int, columns: int) -> Any:
        from sklearn.kernel_approximation import Nystroem
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline

        kernel = Nystroem(
            gamma=self.parameters["width"] / columns,
            n_components=min(rows, int(self.parameters["components"])),
            random_state=self.seed,
        )
        strength = self.parameters["strength"]
        model = (
            LogisticRegression(C=1 / strength, max_iter=200, tol=1e-3)
            if self.classify
            else Ridge(alpha=strength)
        )
        return make_pipeline(kernel, model)


class NeighboursModel(PipelineModel):
    """The nearest rows; by brute force, so that the stored model holds no tree."""

    def _build(self, rows: int, columns: int) -> Any:  # noqa: ARG002
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        model = KNeighborsClassifier if self.classify else KNeighborsRegressor
        return model(
            min(int(self.parameters["neighbours"]), rows), weights="distance", algorithm="brute"
        )


class ConstantModel:
    """The classes' shares, or the mean: what is left where the time is over before any model."""

    def __init__(self, parameters: dict[str, Any], task: Task) -> None:  # noqa: ARG002
        self.outputs = task.outputs
        self.rounds = 1
        self.curve: list[float] = []
        self.answer = np.zeros(task.outputs)

    def fit(
        self,
        parts: Parts,
        deadline: Deadline,  # noqa: ARG002
        rounds: int | None = None,  # noqa: ARG002
    ) -> "ConstantModel":
        """Count, or take the mean."""
        if self.outputs > 1:
            counts = np.bincount(parts.target, minlength=self.outputs)
            # As if each class had one row more: none is impossible.
            self.answer = (counts + 1) / (counts.sum() + self.outputs)
        else:
            self.answer = np.array([parts.target.mean()])
        return self

    def use_rounds(self, rounds: int) -> None:
        """There is one round."""

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """The same for each row."""
        answers = np.tile(self.answer, (len(matrix), 1))
        return answers if self.outputs > 1 else answers[:, 0]
