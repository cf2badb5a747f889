"""Write the template's dashboards: `make dashboards`."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import airflow, business, data, drift, model, service
from dashboards.rules import PROJECT

FOLDER = PROJECT / "infra" / "grafana" / "dashboards"
BOARDS = {
    "service": service.dashboard,
    "model": model.dashboard,
    "drift": drift.dashboard,
    "data": data.dashboard,
    "business": business.dashboard,
    "airflow": airflow.dashboard,
}


def texts() -> dict[str, str]:
    """The JSON of each dashboard, by its file's name."""
    encoder = JSONEncoder(indent=2, ensure_ascii=False)
    return {f"{name}.json": encoder.encode(made().build()) + "\n" for name, made in BOARDS.items()}


def write(folder: Path) -> None:
    """Write the dashboards into a folder, and delete those that there are no more."""
    made = texts()
    for file in folder.glob("*.json"):
        if file.name not in made:
            file.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(FOLDER)
