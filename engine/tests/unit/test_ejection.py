"""The example leaves a project only where git keeps it, and takes nobody's own code with it."""

import shutil
from pathlib import Path

import pytest

from goldpath.errors import NothingToDoError
from goldpath.services.template.bare_project import BARE, REMOVED
from goldpath.services.template.ejection import EjectionError, eject_example
from goldpath.services.template.git import git

from ..locations import PROJECT

PAYMENTS = "config/sources/payments.yaml"
EXAMPLE = "def charge_rate(row):\n    return row.charges\n"
README = """# Shop

| `features/customers.py` | rows |
| `eject-example` | take it out |
| `lock` | locks |

<!-- example -->
Twelve values.
<!-- end of the example -->

Servers.
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the example, as far as ejecting looks at it, in git."""
    for name in (*BARE, *REMOVED):
        file = tmp_path / name.replace("PACKAGE", "shop")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(EXAMPLE if "customers" in name else '"""The example."""\n')
    (tmp_path / "src" / "shop" / "features" / "rows.py").unlink()
    (tmp_path / "src" / "shop" / "__main__.py").write_text(
        "import pathlib, sys; pathlib.Path('described').write_text(sys.argv[1])"
    )
    (tmp_path / "README.md").write_text(README)
    shutil.copytree(PROJECT / "config", tmp_path / "config")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))
    return tmp_path


def commit(root: Path) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    git(root, "add", "--all")
    git(root, *who, "commit", "--quiet", "--message", "state")


def state(root: Path) -> dict[str, str]:
    files = [file for file in root.rglob("*") if file.is_file() and ".git" not in file.parts]
    return {str(file): file.read_text() for file in files}


def test_the_example_goes_and_its_places_stay(shop: Path) -> None:
    ejected = eject_example(shop, "shop")
    examples = {name.replace("PACKAGE", "shop") for name in REMOVED}
    assert set(ejected.removed) == {*examples, PAYMENTS, "config/sources/tickets.yaml"}
    assert not any((shop / name).exists() for name in ejected.removed)
    assert 'name="shop"' in (shop / "src" / "shop" / "project.py").read_text()
    assert not any("PACKAGE" in (shop / name).read_text() for name in ejected.written)
    assert (shop / "README.md").read_text() == (
        "# Shop\n\n| `features/rows.py` | rows |\n| `lock` | locks |\n\nServers.\n"
    )
    assert (shop / "described").read_text() == "describe"
    assert not list(shop.rglob("*.draft"))
    with pytest.raises(NothingToDoError):
        eject_example(shop, "shop")


def test_what_git_does_not_keep_stays(shop: Path) -> None:
    (shop / "README.md").write_text(README + "Ours.\n")
    refused(shop, r"not committed: .*README\.md")
    commit(shop)
    (shop / "src" / "shop" / "features" / "rows.py").write_text("ours = 1\n")
    refused(shop, r"git does not have src/shop/features/rows\.py")


def test_code_of_ones_own_stays(shop: Path) -> None:
    metrics = shop / "src" / "shop" / "model" / "metrics.py"
    metrics.write_text("LIMIT: int = 3\n\n\nclass Ours:\n    pass\n")
    commit(shop)
    refused(shop, r"model/metrics\.py defines LIMIT, Ours")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("path: data/sample/payments", "path: data/bank"),
        ("dataset: customer_churn", "dataset: shop"),
    ],
)
def test_a_source_of_ones_own_stays(shop: Path, old: str, new: str) -> None:
    own = (
        (shop / PAYMENTS)
        .read_text()
        .replace(f"\n{old}", f"\n{new}")
        .replace(f"  {old}", f"  {new}")
    )
    (shop / PAYMENTS).write_text(own)
    commit(shop)

    ejected = eject_example(shop, "shop")

    assert PAYMENTS not in ejected.removed
    assert (shop / PAYMENTS).read_text() == own
    assert not (shop / "config/sources/tickets.yaml").exists()


def test_a_model_of_ones_own_stays(shop: Path) -> None:
    file = shop / "src" / "shop" / "project.py"
    file.write_text('project = Project(models={"churn": churn, "calls": calls})\n')
    commit(shop)
    refused(shop, r"project\.py, which would be rewritten, hands over the models 'calls'")
    file.write_text('project = Project(models={"churn": churn})\n')
    commit(shop)
    eject_example(shop, "shop")


def test_a_target_of_an_examples_events_keeps_them(shop: Path) -> None:
    model = shop / "models" / "calls" / "project.yaml"
    model.parent.mkdir(parents=True)
    model.write_text("problem: classification\ntarget: {event: tickets, within: 30d}\n")
    commit(shop)
    refused(shop, r"models/calls/project\.yaml: target\.event is tickets")


def test_without_git_nothing_goes(shop: Path) -> None:
    (shop / ".git").rename(shop.parent / "gone")
    refused(shop, "git does not keep this project")


def refused(root: Path, said: str) -> None:
    before = state(root)
    with pytest.raises(EjectionError, match=said):
        eject_example(root, "shop")
    assert state(root) == before
