"""One positive row in a thousand: the project's search against a tuned LightGBM.

200,000 made-up rows are split as the project splits them. Ours: the search with its default
settings and a fit of its winner. Theirs: LightGBM, whose trees, leaves, rate, rows and columns of a
tree, regularisation and weight of the positive class Optuna tunes in 30 trials for the average
precision over the same three folds. Both learn from the same rows, of which some 180 are positive.
The ratio is that of the average precisions on a million further rows of the same kind, the mean
over the draws of `--seeds`. The ratio on the split's own test rows stands beside it: their 46
positive ones hardly tell two models apart, as its interval shows. Intervals are paired bootstraps
over rows: both models see the same draw.

    python benchmarks/rare.py [--seeds 1 2 3]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RESULT = Path(__file__).parent / "results" / "rare.json"
ROWS, FURTHER_ROWS, TRIALS, RESAMPLES = 200_000, 1_000_000, 30, 200
NUMBERS = 8
PLANS = ["basic", "plus", "family", "team"]


def main() -> int:
    """Measure, and write results/rare.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    draws = [measured(seed) for seed in parser.parse_args().seeds]
    result = {
        "name": "rare",
        "ratio": round(float(np.mean([each["ratio"]["further"] for each in draws])), 3),
        "unit": "average precision of the project's model / of a LightGBM tuned in 30 trials",
        "n": ROWS,
        "details": {"goal": "ratio >= 0.99", "draws": draws},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    return 0


def measured(seed: int) -> dict[str, Any]:
    """Both models on the rows of one seed: what they are, what they reach and what they cost."""
    from goldpath.learning.folds import make_folds
    from goldpath.learning.search import fit, search
    from goldpath.learning.splitting import rows_to_search, split_rows
    from goldpath.settings import TrainingSettings

    settings, contract = TrainingSettings(), contract_of()
    split = split_rows(make_rows(ROWS, seed), contract, settings)
    folds = make_folds(split.train, contract, settings)

    started = time.process_time()
    rows = rows_to_search(split.train, contract, settings)
    best = search(rows, contract, settings, lambda trial, _best: print(trial, flush=True))
    model = fit(split.train, contract, best.family, best.parameters, settings.seed)
    ours_seconds = time.process_time() - started
    started = time.process_time()
    theirs, parameters = tuned_lightgbm(split.train, folds, settings.seed)
    theirs_seconds = time.process_time() - started

    tables = {"further": make_rows(FURTHER_ROWS, seed + 1000), "test": split.test}
    scores = {
        name: {"project": np.asarray(model.predict(rows).scores), "lightgbm": theirs(rows)}
        for name, rows in tables.items()
    }
    found = {
        name: {who: precision(tables[name], each) for who, each in of_rows.items()}
        for name, of_rows in scores.items()
    }
    return {
        "seed": seed,
        "ratio": {
            name: round(each["project"] / each["lightgbm"], 3) for name, each in found.items()
        },
        "intervals": {name: interval(tables[name], scores[name]) for name in tables},
        "average_precision": found,
        "positive_rows": {
            name: int((each["y"] == "yes").sum())
            for name, each in {"train": split.train, **tables}.items()
        },
        "family": best.family,
        "parameters": dict(best.parameters),
        "trials": len(best.trials),
        "lightgbm_parameters": parameters,
        "project_cpu_seconds": round(ours_seconds, 1),
        "lightgbm_cpu_seconds": round(theirs_seconds, 1),
    }


def contract_of() -> Any:
    """What a row is."""
    from goldpath.contract import Contract

    numbers = [{"name": f"number_{place}", "type": "number"} for place in range(NUMBERS)]
    return Contract.model_validate(
        {
            "dataset": "rare",
            "problem": "classification",
            "source": {"path": "rare.csv"},
            "entity": "id",
            "target": {"column": "y", "classes": ["no", "yes"]},
            "features": [
                *numbers,
                {"name": "visits", "type": "integer"},
                {"name": "plan", "type": "category", "categories": PLANS},
            ],
        }
    )


def make_rows(rows: int, seed: int) -> pd.DataFrame:
    """Rows of which one in a thousand is positive, where several things come together."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, NUMBERS))
    visits, plan = random.poisson(4, rows), random.integers(0, len(PLANS), rows)
    risk = (
        -10.1
        + 1.6 * numbers[:, 0]
        + 1.2 * np.maximum(numbers[:, 1], 0)
        + 1.4 * (numbers[:, 2] > 1) * (numbers[:, 3] > 0)
        - 0.8 * np.abs(numbers[:, 4])
        + 0.25 * visits
        + 1.0 * (plan == 2)
    )
    frame = pd.DataFrame({f"number_{place}": numbers[:, place] for place in range(NUMBERS)})
    frame["id"] = np.char.add("c", np.arange(rows).astype(str))
    frame["visits"], frame["plan"] = visits, np.array(PLANS)[plan]
    frame["y"] = np.where(random.random(rows) < 1 / (1 + np.exp(-risk)), "yes", "no")
    return frame


def inputs(rows: pd.DataFrame) -> pd.DataFrame:
    """The features as LightGBM takes them."""
    taken = rows.drop(columns=["id", "y"])
    return taken.assign(plan=pd.Categorical(taken["plan"], categories=PLANS))


def precision(rows: pd.DataFrame, scores: Any) -> float:
    """The average precision, the area under the precision-recall curve."""
    from sklearn.metrics import average_precision_score

    return round(float(average_precision_score(rows["y"] == "yes", np.asarray(scores))), 4)


def interval(rows: pd.DataFrame, scores: dict[str, Any]) -> list[float]:
    """Where the ratio lies with 95 %, had other rows been drawn: a paired Poisson bootstrap."""
    from sklearn.metrics import average_precision_score

    positive, random = rows["y"] == "yes", np.random.default_rng(0)
    ratios = []
    for _ in range(RESAMPLES):
        weights = random.poisson(1, len(rows))
        ours, theirs = (
            average_precision_score(positive, scores[who], sample_weight=weights)
            for who in ("project", "lightgbm")
        )
        ratios.append(ours / theirs)
    return [round(float(each), 3) for each in np.percentile(ratios, [2.5, 97.5])]


def tuned_lightgbm(train: pd.DataFrame, folds: Any, seed: int) -> tuple[Any, dict[str, Any]]:
    """LightGBM tuned over the folds; what scores rows, and its parameters."""
    import lightgbm
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    features, positive = inputs(train), (train["y"] == "yes").to_numpy()

    def built(parameters: dict[str, Any]) -> Any:
        return lightgbm.LGBMClassifier(**parameters, random_state=seed, verbose=-1, n_jobs=1)

    def objective(trial: Any) -> float:
        parameters = {
            "n_estimators": trial.suggest_int("n_estimators", 30, 400, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, 63, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 200, log=True),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 100, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            "subsample_freq": 1,
            "scale_pos_weight": trial.suggest_float("scale_pos_weight", 1, 1000, log=True),
        }
        trial.set_user_attr("parameters", parameters)
        found = []
        for learnt, held_out in folds:
            model = built(parameters).fit(features.iloc[learnt], positive[learnt])
            scores = model.predict_proba(features.iloc[held_out])[:, 1]
            found.append(precision(train.iloc[held_out], scores))
        return float(np.mean(found))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=TRIALS)
    parameters = study.best_trial.user_attrs["parameters"]
    model = built(parameters).fit(features, positive)
    return lambda rows: model.predict_proba(inputs(rows))[:, 1], parameters


if __name__ == "__main__":
    raise SystemExit(main())
