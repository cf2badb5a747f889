"""Without the example a project is green, takes other data, and uses what its places hold."""

import random
import re
from pathlib import Path

import pytest
from conftest import BakedProject

EXAMPLE = re.compile(r"churn|customer|retention|tenure|offer\b", re.IGNORECASE)
FEATURE = '''

from goldpath import Row, Value, row_feature


@row_feature
def weight_in_grams(row: Row) -> Value:
    """What the scale says."""
    return row.weight * 1000
'''


def orders(file: Path) -> None:
    """Orders that are late more often by sea."""
    dice = random.Random(1)  # noqa: S311
    lines = ["order,weight,kind,late"]
    for number in range(1500):
        kind = dice.choice(["air", "sea", "road"])
        late = dice.random() < (0.6 if kind == "sea" else 0.2)
        lines.append(f"o{number},{dice.uniform(1, 30):.2f},{kind},{'yes' if late else 'no'}")
    file.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.slow
def test_the_example_leaves_a_green_project_that_takes_other_data(workbench: BakedProject) -> None:
    small = {"MLOPS_TRAINING__TRIALS": "2", "MLOPS_TRAINING__PARITY_ROWS": "2000"}
    workbench.make("eject-example")
    name = workbench.package.name
    for file in [*workbench.package.rglob("*.py"), *(workbench.root / "tests").glob("*.py")]:
        said = EXAMPLE.findall(file.read_text(encoding="utf-8").replace(name, ""))
        assert set(said) <= {"offer", "customer"}, (file, said)  # in the places' own examples
    workbench.make("check", "lint", "typecheck", "test", timeout=600)

    orders(workbench.root / "orders.csv")
    workbench.make("adopt", "DATA=orders.csv", "TARGET=late", "ID=order")
    rows = workbench.package / "features" / "rows.py"
    rows.write_text(rows.read_text(encoding="utf-8") + FEATURE, encoding="utf-8")
    project = workbench.package / "project.py"
    text = project.read_text(encoding="utf-8").replace(
        "    return []  # of features/rows.py",
        "    from .features import rows\n\n    return [rows.weight_in_grams]",
    )
    project.write_text(text, encoding="utf-8")
    trained = workbench.make("data", "train-local", timeout=600, **small)
    assert "champion" in trained.output
    assert "weight_in_grams" in workbench.make("check").output
    workbench.make("test", timeout=600)
