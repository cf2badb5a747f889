"""The examples of docs/client.md run as they stand there, and agree with the model."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldpath.learning.scoring import LoadedModel
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.services.relocation import relocate_project
from goldpath.settings import load_settings

from ..conftest import Trained
from ..locations import ENGINE
from .running_service import RunningService, running
from .test_client import PASSWORD, command

pytestmark = pytest.mark.slow

DOCUMENT = (ENGINE / "docs" / "client.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
ROW = {
    "tenure_months": 14,
    "monthly_charges": 79.9,
    "usage_hours": 42.5,
    "support_tickets": 1,
    "late_payments": 0,
    "satisfaction": None,
    "age": 41,
    "contract": "month-to-month",
    "payment_method": "card",
    "internet_service": "fiber",
    "region": "north",
    "paperless_billing": True,
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def root(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained project, to be changed."""
    root = tmp_path_factory.mktemp("document") / "project"
    shutil.copytree(trained.settings.root, root)
    relocate_project(load_settings(root))
    return root


@pytest.fixture(scope="module")
def secrets(root: Path) -> dict[str, str]:
    key = command(root, "api-key", "create", "document", "--role", "predict")["key"]
    command(root, "user", "add", "ada", "--role", "predict", given=f"{PASSWORD}\n")
    return {"KEY": key, "PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def service(root: Path, secrets: dict[str, str]) -> Iterator[RunningService]:
    with running(root, MLOPS_ACCESS__REQUIRE_CREDENTIAL="true") as service:
        yield service


@pytest.fixture(scope="module")
def model(trained: Trained) -> LoadedModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_ROOT", str(trained.settings.root))
        manager = MLflowManager(load_settings(trained.settings.root), trained.contract)
        version = manager.champion_version()
        assert version is not None
        return manager.load(version)


def churns(model: LoadedModel, *rows: dict[str, Any]) -> list[float]:
    """Probabilities of `yes`, from the fitted pipeline."""
    full = [{name: row.get(name) for name in model.contract.feature_names} for row in rows]
    found = model.predict(full).probabilities
    assert found is not None
    return [float(value) for value in found[:, 1]]


def run(
    command: list[str], service: RunningService, secrets: dict[str, str], text: str | None = None
) -> str:
    environment = {**os.environ, **secrets}
    done = subprocess.run(
        command, input=text, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def here(example: str, service: RunningService) -> str:
    assert ADDRESS in example
    return example.replace(ADDRESS, service.url)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_examples(
    service: RunningService, secrets: dict[str, str], model: LoadedModel
) -> None:
    one, several, explained = (
        json.loads(run(["sh", "-eu", "-c", here(each, service)], service, secrets))
        for each in blocks("sh")
    )
    shown = json.loads(blocks("json")[0])

    expected = churns(model, ROW)[0]
    assert one.keys() == shown.keys()
    assert one["probabilities"].keys() == shown["probabilities"].keys()
    assert one["probabilities"]["yes"] == pytest.approx(expected, abs=1e-9)
    assert several["predictions"][0]["probabilities"] == one["probabilities"]
    other = {
        **dict.fromkeys(ROW),
        "tenure_months": 2,
        "monthly_charges": 120,
        "support_tickets": 9,
        "late_payments": 5,
        "contract": "month-to-month",
        "internet_service": "fiber",
        "region": "south",
        "paperless_billing": False,
    }
    second = several["predictions"][1]["probabilities"]["yes"]
    assert second == pytest.approx(churns(model, other)[0], abs=1e-9)
    assert explained["prediction"] == one["prediction"]
    assert explained["value"] == pytest.approx(max(one["probabilities"].values()), abs=1e-9)
    total = sum(each["contribution"] for each in explained["contributions"])
    assert total == pytest.approx(explained["value"] - explained["baseline"], abs=1e-9)


def test_python_example(
    service: RunningService, secrets: dict[str, str], model: LoadedModel
) -> None:
    (example,) = blocks("python")

    lines = run([sys.executable, "-"], service, secrets, here(example, service)).splitlines()

    expected = churns(model, ROW)[0]
    prediction, probability = lines[0].split()
    assert prediction == ("yes" if expected > 0.5 else "no")
    assert float(probability) == pytest.approx(expected, abs=1e-9)
    total = sum(churns(model, *({**ROW, "tenure_months": months} for months in range(600))))
    assert float(lines[1]) == pytest.approx(total, abs=1e-6)
    value, baseline = map(float, lines[2].split())
    assert value == pytest.approx(max(expected, 1 - expected), abs=1e-9)
    assert 0 < baseline < 1
    assert len(lines) == 7
    assert all(line.split()[0] in ROW for line in lines[3:6])
    assert lines[6].startswith("422 features.region send ")


def check_javascript(output: str, model: LoadedModel) -> None:
    first, second = output.strip().splitlines()
    prediction, probability = first.split()
    expected = churns(model, ROW)[0]
    assert prediction == ("yes" if expected > 0.5 else "no")
    assert float(probability) == pytest.approx(expected, abs=1e-9)
    assert "features.region" in second


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
def test_javascript_example_in_node(
    service: RunningService, secrets: dict[str, str], model: LoadedModel
) -> None:
    (example,) = blocks("js")
    command = ["node", "--input-type=module", "-"]
    check_javascript(run(command, service, secrets, here(example, service)), model)


@pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")
def test_javascript_example_in_a_browser(
    service: RunningService, secrets: dict[str, str], model: LoadedModel
) -> None:
    from playwright.sync_api import sync_playwright

    (example,) = blocks("js")
    code = here(example, service).replace("process.env.KEY", json.dumps(secrets["KEY"]))
    printed: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        # The browser itself reports the refused request as an error, which is none of ours.
        page.on("console", lambda each: printed.append(each.text) if each.type == "log" else None)
        page.goto(f"{service.url}/health")
        page.evaluate("(async () => {" + code + "})()")
        browser.close()
    check_javascript("\n".join(printed), model)
