"""The model of the serving benchmark: in a project of its own, and as its peers take it.

Run by the project's interpreter. Seventeen numbers, a tenth of them missing, and three categories;
imputed, scaled and encoded, 200 rounds of histogram gradient boosting, 50,000 rows. It is fitted
once, registered through the project's own classes as champion, and saved for the peers with
`predict_proba` as an MLflow model (skops), as a compiled form, and with rows and what scikit-learn
answers to them.

    PYTHON serving_project.py PROJECT FOLDER
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from serving_rows import CATEGORIES, CLASSES, NUMBERS

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

ROWS, ASKED_ROWS, SEED = 50_000, 1000, 7


def main() -> int:
    """Make project and model in FOLDER."""
    from goldpath.contract import load_contract
    from goldpath.settings import load_settings

    project, folder = Path(sys.argv[1]), Path(sys.argv[2])
    root = folder / "project"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(project / "config", root / "config")
    frame, labels = draw_rows(ROWS, SEED)
    write_contract(root / "config" / "project.yaml")
    pipeline = build_pipeline().fit(frame, labels)
    contract = load_contract(root)
    version = register(load_settings(root), contract, pipeline, frame)
    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    save_for_mlflow(pipeline, frame, model / "mlflow")
    reason = save_compiled(pipeline, contract, model / "compiled")
    asked, _ = draw_rows(ASKED_ROWS, SEED + 1)
    (model / "rows.json").write_text(json.dumps(json_rows(asked)), encoding="utf-8")
    answers = pipeline.predict_proba(asked)[:, 1].tolist()
    (model / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
    print(json.dumps({"version": version, "not_compiled": reason}))
    return 0


def draw_rows(rows: int, seed: int) -> "tuple[pd.DataFrame, np.ndarray]":
    """Rows and labels that depend on some columns, smoothly and not."""
    import pandas as pd

    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=(rows, len(NUMBERS))) * np.linspace(0.5, 200, len(NUMBERS))
    frame = pd.DataFrame(np.round(numbers, 4), columns=list(NUMBERS))
    codes = {}
    for name, values in CATEGORIES.items():
        codes[name] = generator.integers(0, len(values), rows)
        frame[name] = pd.Series(np.array(values)[codes[name]], dtype=object)
    unit = numbers / np.linspace(0.5, 200, len(NUMBERS))
    margin = unit[:, 0] + np.sin(2 * unit[:, 1]) * unit[:, 2] - (unit[:, 3] > 0.5) * unit[:, 4]
    margin += 0.3 * codes["plan"] - 0.2 * codes["region"] * unit[:, 5]
    labels = np.where(generator.random(rows) < 1 / (1 + np.exp(-margin)), *reversed(CLASSES))
    gaps = generator.random(numbers.shape) < 0.1
    frame[list(NUMBERS)] = frame[list(NUMBERS)].mask(gaps)
    return frame, labels


def build_pipeline(names: Sequence[str] = NUMBERS) -> "Pipeline":
    """The unfitted pipeline, for numbers of these names."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer(
        [("numbers", numbers, list(names)), ("categories", categories, list(CATEGORIES))]
    )
    model = HistGradientBoostingClassifier(max_iter=200, early_stopping=False, random_state=0)
    return Pipeline([("columns", columns), ("model", model)])


def write_contract(file: Path) -> None:
    """The contract of these rows."""
    numbers = [
        {"name": name, "type": "number", "nullable": True, "example": 1.5} for name in NUMBERS
    ]
    categories = [
        {"name": name, "type": "category", "categories": list(values), "example": values[0]}
        for name, values in CATEGORIES.items()
    ]
    contract = {
        "dataset": "serving_benchmark",
        "problem": "classification",
        "source": {"path": "data/rows.csv"},
        "target": {"column": "label", "classes": list(CLASSES)},
        "features": [*numbers, *categories],
    }
    file.write_text(yaml.safe_dump(contract, sort_keys=False), encoding="utf-8")


def register(settings: Any, contract: Any, pipeline: "Pipeline", frame: "pd.DataFrame") -> str:
    """Store, sign and register the pipeline, and make it champion."""
    from goldpath.learning.scoring import LoadedModel
    from goldpath.registry.layout import RUN_KEY
    from goldpath.registry.mlflow_manager import MLflowManager
    from goldpath.registry.stages import CHAMPION

    loaded = LoadedModel(pipeline, contract, None)
    manager = MLflowManager(settings, contract)
    with manager.run("serving benchmark", {}) as run_id:
        version = manager.register(run_id, loaded, frame, {RUN_KEY: "benchmark"})
    manager.set_alias(CHAMPION, version.version)
    return str(version.version)


def save_for_mlflow(pipeline: "Pipeline", frame: "pd.DataFrame", folder: Path) -> None:
    """The same pipeline as MLflow's own servers take it: answers are probabilities."""
    from goldpath.registry.files.pipeline import model_requirements
    from mlflow.models import infer_signature
    from mlflow.sklearn import save_model

    save_model(
        pipeline,
        str(folder),
        signature=infer_signature(frame, pipeline.predict_proba(frame)),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=model_requirements(pipeline),
        serialization_format="skops",
        skops_trusted_types=[
            "numpy.dtype",
            "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        ],
    )


def save_compiled(pipeline: "Pipeline", contract: Any, folder: Path) -> str | None:
    """The compiled form for the peers that shall have the same engine; why not, where not."""
    try:
        from goldpath.compiled.compiler import compile_pipeline
        from goldpath.compiled.form_files import write_form

        folder.mkdir(parents=True)
        write_form(compile_pipeline(pipeline, contract), folder)
    except Exception as error:  # the other peers are measured all the same
        return f"{type(error).__name__}: {error}"
    return None


def json_rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as a client sends them."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


if __name__ == "__main__":
    sys.exit(main())
