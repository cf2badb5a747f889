"""MLflow's SQLite file, made whole or not at all.

MLflow 3.17 makes its tables in many commits. A process that is killed meanwhile leaves a file that
no later one can use (`table … already exists`), so the file is made under another name first.
"""

import fcntl
from pathlib import Path


def ensure_database(file: Path) -> None:
    """Make MLflow's database where there is none; safe to be killed, and to be called twice."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if file.exists():
            return
        unfinished = file.with_name(f"{file.name}.new")
        for leftover in file.parent.glob(f"{unfinished.name}*"):
            leftover.unlink()
        import mlflow

        uri = f"sqlite:///{unfinished}"
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        unfinished.replace(file)
