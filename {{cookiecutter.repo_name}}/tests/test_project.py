"""What `project.py` hands over can be used."""

import subprocess
import sys
from dataclasses import fields
from typing import Any

from fastapi.routing import APIRoute
from goldpath import Data

from {{ cookiecutter.package_name }}.project import project

from conftest import MODELS, Workplace, definitions_of


def test_check_lists_what_the_project_hands_over(
    workplace: Workplace, checked: dict[str, Any]
) -> None:
    found = checked[""]
    model, service = definitions_of(""), project.extensions
    assert found["used"] == "yes"
    assert {each.name for each in project.row_features} <= {*found["features"]}
    assert found["families"]
    assert {each.name for each in model.metrics} <= {*found["metrics"]}
    gates = workplace.settings.validation.gates
    own = [*model.validators, *(each.name for each in model.gates)]
    assert found["checks"] == [*(each.title for each in gates), *own]
    given = [each.name for each in fields(Data) if getattr(project.recipes, each.name)]
    assert found["recipes"] == given
    routes = [route for router in service.routers for route in router.routes]
    assert found["routes"] == [route.path for route in routes if isinstance(route, APIRoute)]


def test_check_lists_what_is_handed_over_for_each_further_model(checked: dict[str, Any]) -> None:
    assert set(checked) == {*MODELS}
    for name in MODELS:
        model, found = definitions_of(name), checked[name]
        assert {each.name for each in model.metrics} <= {*found["metrics"]}
        assert {*model.validators, *(each.name for each in model.gates)} <= {*found["checks"]}


def test_importing_the_project_imports_none_of_its_parts() -> None:
    module = f"{project.name}.project"
    code = f"import sys, {module}; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.replace("'", "").strip("[]\n").split(", "))
    assert module in loaded
    assert not loaded & {"numpy", "pandas", "sklearn", "fastapi", "ibis", "mlflow"}
