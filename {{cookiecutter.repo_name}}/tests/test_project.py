"""What `project.py` hands over can be used."""

import subprocess
import sys

from {{ cookiecutter.package_name }}.project import project

from conftest import Workplace


def test_check_finds_nothing_wrong(workplace: Workplace) -> None:
    found = workplace.run("check")
    assert found["used"] == "yes"
    assert found["features"] == ["charge_rate", "unbound_tickets"]
    assert found["families"] == ["boosting", "linear"]
    assert found["recipes"] == ["bronze", "silver", "gold", "aws"]
    assert "churn_by_contract" in found["training"]
    assert found["routes"] == ["/retention-offer"]


def test_importing_the_project_imports_none_of_its_parts() -> None:
    module = f"{project.name}.project"
    code = f"import sys, {module}; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.replace("'", "").strip("[]\n").split(", "))
    assert module in loaded
    assert not loaded & {"numpy", "pandas", "sklearn", "fastapi", "ibis", "mlflow"}
