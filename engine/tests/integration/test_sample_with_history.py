"""The page's window features of the sample's history reach what no model without them can."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from goldpath import Project
from goldpath.contract import load_contract
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.data.source_adoption import add_source
from goldpath.jobs.training.stages import train
from goldpath.sample.customers import write_sample
from goldpath.settings import load_settings
from goldpath.source_contract import SourceContract, load_sources

from ..conftest import make_project
from ..locations import PROJECT

PAGE = Path(__file__).parents[2] / "docs" / "features.md"
RECIPE = re.compile(r"^### On the sample$.*?^```python$(.*?)^```$", re.DOTALL | re.MULTILINE)
SOURCE = re.compile(r"^make add-source NAME=(\w+) DATA=(\S+) ID=(\w+) TIME=(\w+) KEY=(\w+)$", re.M)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]


def history_features(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's code, in a module that the engine can find the source of."""
    module = ModuleType("history")
    monkeypatch.setitem(sys.modules, "history", module)
    exec(compile(RECIPE.findall(PAGE.read_text("utf-8"))[0], str(PAGE), "exec"), vars(module))  # noqa: S102
    return module


def rules_of(source: SourceContract) -> tuple[object, ...]:
    """What a source says, but for limits and examples, which depend on how many rows were seen."""
    columns = [(each.name, each.type, each.categories) for each in source.features]
    return source.belongs_to, source.source, source.entity, source.event_time, source.key, columns


def test_two_window_features_pass_the_ceiling_of_the_customers_own_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_project(tmp_path)
    contract = load_contract(tmp_path)
    file = tmp_path / contract.source.path
    written = write_sample(file, 6_000, 7, {}, history=True)
    assert [Path(each).parent.name for each in written.history] == ["payments", "tickets"]
    sources = SOURCE.findall(PAGE.read_text("utf-8").partition("### On the sample\n")[2])
    assert [name for name, *_ in sources] == ["payments", "tickets"]
    for name, data, entity, time, key in sources:
        add_source(settings, contract, name, data, entity, time, key)
    given, shipped = load_sources(tmp_path), load_sources(PROJECT)
    assert [rules_of(each) for each in given] == [rules_of(each) for each in shipped]
    history = history_features(monkeypatch)
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "1")
    own = load_settings(
        tmp_path, Project(features=lambda: [history.paid, history.paid_above, history.asked])
    )

    result = refresh(own, contract)
    trained = train(own, contract)

    assert {name: each.silver_rows > 5_000 for name, each in result.sources.items()} == {
        "payments": True,
        "tickets": True,
    }
    assert all(each.quarantined_rows > 0 for each in result.sources.values())
    assert written.bayes_auc_with_history is not None
    low, _ = trained.interval
    assert written.bayes_auc < trained.value < written.bayes_auc_with_history + 0.02
    assert low > trained.baseline
    print(
        f"{trained.value:.3f} with the history; {written.bayes_auc:.3f} is the most without it, "
        f"{written.bayes_auc_with_history:.3f} with it"
    )
