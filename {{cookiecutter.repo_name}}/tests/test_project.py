"""What `project.py` hands over can be used."""

import subprocess
import sys
from dataclasses import fields

from fastapi.routing import APIRoute
from goldpath import Data

from {{ cookiecutter.package_name }}.project import project

from conftest import Workplace


def test_check_lists_what_the_project_hands_over(workplace: Workplace) -> None:
    found = workplace.run("check")
    model, service = project.definitions, project.extensions
    assert found["used"] == "yes"
    assert found["features"] == [each.name for each in project.row_features]
    assert found["families"]
    assert found["metrics"] == [each.name for each in model.metrics]
    assert found["checks"] == list(model.validators)
    given = [each.name for each in fields(Data) if getattr(project.recipes, each.name)]
    assert found["recipes"] == given
    routes = [route for router in service.routers for route in router.routes]
    assert found["routes"] == [route.path for route in routes if isinstance(route, APIRoute)]


def test_importing_the_project_imports_none_of_its_parts() -> None:
    module = f"{project.name}.project"
    code = f"import sys, {module}; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.replace("'", "").strip("[]\n").split(", "))
    assert module in loaded
    assert not loaded & {"numpy", "pandas", "sklearn", "fastapi", "ibis", "mlflow"}
