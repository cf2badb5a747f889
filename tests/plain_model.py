"""What a data scientist would try first: default gradient boosting on the project's own split.

Run by a generated project's Python in its folder; prints the score and one test row as JSON.
"""

import json
import sys

import pandas as pd
from goldpath.contract import load_contract
from goldpath.lake.gold_frame import read_gold
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.learning.splitting import split_rows
from goldpath.settings import load_settings
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score

settings = load_settings()
contract = load_contract(settings.root)
gold = read_gold(LocalLakehouse(settings), contract)
split = split_rows(gold, contract, settings.training)


def inputs(rows: pd.DataFrame) -> pd.DataFrame:
    """The features as scikit-learn takes them: float64, and pandas categories."""
    frame = rows[contract.feature_names].copy()
    for name in frame:
        if name in contract.category_features:
            known = sorted(split.train[name].dropna().unique())
            frame[name] = pd.Categorical(frame[name], categories=known)
        else:
            frame[name] = frame[name].astype("float64")
    return frame


target = contract.target.column
learned, truth = split.train[target], split.test[target]
if contract.problem == "classification":
    model = HistGradientBoostingClassifier(random_state=0, categorical_features="from_dtype")
    model.fit(inputs(split.train), learned)
    positive = model.predict_proba(inputs(split.test))[:, 1]
    score = roc_auc_score(truth == contract.target.positive, positive)
else:
    model = HistGradientBoostingRegressor(random_state=0, categorical_features="from_dtype")
    score = r2_score(truth, model.fit(inputs(split.train), learned).predict(inputs(split.test)))

row = json.loads(split.test[contract.feature_names].head(1).to_json(orient="records"))[0]
json.dump({"score": score, "row": row, "rows": len(split.test)}, sys.stdout)
