"""The documents' recipes work: all in one project, and each alone (`make test-recipes`)."""

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import own_columns
import pytest
from conftest import TEMPLATE, BakedProject, Record
from processes import foreground, free_ports, wait_for
from recipes import ADD_SOURCE, Recipe, follow, lines_gained, recipes, write

Facts = dict[str, Any]
RECIPES = recipes()
SMALL = {
    "MLOPS_TRAINING__TRIALS": "4",
    "MLOPS_TRAINING__PARITY_ROWS": "5000",
    "MLOPS_VALIDATION__STABILITY_FOLDS": "0",
}
# The list of config/training.yaml is the one that counts, so it names the project's own, too.
FAMILIES = {
    "config/training.yaml": "families: [boosting, forest, adaptive, network]",
    "models/charges/training.yaml": "families: []",
}
CURL = re.compile(r"""-d '\{.*?"features": (\{.*?\})\}'""", re.DOTALL)
OWN_COLUMNS = {
    "import pytest\n": "import pytest\nfrom own_columns import add_columns\n",
    "        return result\n": """\
        if command[0] == "sample":
            add_columns(self.root / result["file"])
        return result
""",
}
# Run by the project's Python: what the run and the tables hold.
KEPT = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
from goldpath import MLflowManager, load_contract, load_settings
project = importlib.import_module(sys.argv[1] + ".project").project
settings = load_settings(project=project)
manager = MLflowManager(settings, load_contract(settings.root))
runs = manager.client.search_runs([manager.experiment_id()])
logged = manager.client.get_run(manager.champion_version().run_id).data
gold = project.frame("gold")
print(json.dumps({
    "families": sorted({run.data.params.get("family", "") for run in runs}),
    "metrics": logged.metrics,
    "gold": {name: int(gold[name].count()) for name in gold},
    "customer": str(gold["customer_id"].iloc[-1]),
    "predictions": sorted(project.frame("predictions", limit=10)),
}))
"""


def computed(*names: str) -> Callable[[Facts], bool]:
    """Whether gold has values of row features, and the service computes them."""
    return lambda facts: all(
        facts["gold"][name] > 0 and facts["model"]["features"][name].startswith("computed by")
        for name in names
    )


def looked_up(*names: str) -> Callable[[Facts], bool]:
    """Whether gold has values of window features, and the service looks them up."""
    return lambda facts: all(
        facts["gold"][name] > 0 and facts["model"]["features"][name].startswith("looked up by")
        for name in names
    )


# What a project shows that it did not show before, by the recipe.
EFFECTS: dict[str, Callable[[Facts], bool]] = {
    "A ratio": computed("hours_a_ticket"),
    "Bins, and a table of values": computed("age_group", "days_to_pay"),
    "Days since a date": computed("days_as_customer", "launch_day"),
    "Length and keywords of a text": computed("note_length", "mentions_money", "order_number"),
    "A window over another source": looked_up("by_card_total_90d", "by_card_count_30d"),
    "A lag": looked_up("month_ago_paid_60d"),
    "Rows of a database, by SQL": looked_up("called_minutes_90d", "called_count_90d"),
    "Families by name": lambda facts: "forest" in facts["families"],
    "A family of your own": lambda facts: "adaptive" in facts["families"],
    "A model that is none of scikit-learn's": lambda facts: "network" in facts["families"],
    "A metric of your own": lambda facts: facts["evaluation"]["metric"] == "top_decile",
    "Money, without code": lambda facts: "value" in facts["evaluation"]["others"],
    "A threshold": lambda facts: (
        facts["answer"]["threshold"] == 0.3 and "decision" in facts["predictions"]
    ),
    "Gates without code": lambda facts: (
        facts["gates"]["recall at least 0.5 by region"] in ("passed", "warning")
    ),
    "Gates in Python": lambda facts: facts["gates"]["share of calls"] == "passed",
    "A training step": lambda facts: facts["metrics"]["left_out_rows"] > 0,
    "A batch step": lambda facts: "unsure" in facts["predictions"],
    "A field in each answer": lambda facts: (
        facts["answer"]["segment"] in ("call", "mail", "none")
        and facts["answers"][1]["segment"] == facts["answer"]["segment"]
        and "segment" in facts["predictions"]
    ),
    "A route": lambda facts: facts["call"] == {"call": facts["answer"]["prediction"] == "yes"},
    "A metric of each prediction": lambda facts: (
        float(re.findall(r"^expected_loss_count\{.*\} (.*)$", facts["shown"], re.M)[0]) >= 3
        and "expected_loss" in facts["model"]["service_metrics"]
    ),
    "A check before each answer": lambda facts: (
        facts["many"].get("detail") == "only admins ask for more than 100 rows"
        and "few_rows, tell" in facts["model"]["left_to_app"]
        and "anonymous saw " in facts["log"]
    ),
    "A further model": lambda facts: (
        (charges := facts["models"]["charges"])["metric"] == "r2"
        and list(charges["families"]) == ["boosting"]
        and "unbound_tickets" in charges["features"]
        and "charge_rate" not in charges["features"]
    ),
}


def test_every_recipe_of_the_table_has_an_effect_to_look_for() -> None:
    assert [recipe.title for recipe in RECIPES] == list(EFFECTS)
    assert all(recipe.blocks for recipe in RECIPES)


def test_a_source_that_the_project_ships_is_added_from_where_it_lies() -> None:
    added = [
        found.groups()
        for recipe in RECIPES
        for block in recipe.blocks
        for found in ADD_SOURCE.finditer(block.text)
    ]
    shipped = TEMPLATE / "{{cookiecutter.repo_name}}" / "config" / "sources"
    known = [(name, data) for name, data in added if (shipped / f"{name}.yaml").exists()]

    assert known
    for name, data in known:
        text = (shipped / f"{name}.yaml").read_text(encoding="utf-8")
        assert f"\n  path: {data}\n" in text, f"{name} lies elsewhere"


@pytest.mark.slow
def test_all_recipes_in_one_project_take_effect(
    workbench: BakedProject, tmp_path: Path, record_property: Record
) -> None:
    give_data(workbench)
    for recipe in RECIPES:
        follow(recipe, workbench)
    for file, line in FAMILIES.items():
        write(workbench.root / file, f"{line}\n", "")
    workbench.make("format", "describe", "check")
    output = workbench.make("lint", "typecheck", "test", timeout=1200).output
    summary = [line.strip("= ") for line in output.splitlines() if " passed" in line][-1]
    assert "skipped" not in summary

    facts = effects(workbench, tmp_path)

    assert [title for title, shows in EFFECTS.items() if not shows(facts)] == []
    record_property("figure", f"a project with {len(RECIPES)} recipes: {summary}")


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_a_recipe_alone_takes_effect(
    recipe: Recipe, workbench: BakedProject, tmp_path: Path, record_property: Record
) -> None:
    give_data(workbench)
    started = time.monotonic()
    follow(recipe, workbench)
    workbench.make("format", "describe", "check", "lint", "typecheck")
    gained = lines_gained(workbench)
    files = [Path(block.file) for block in recipe.blocks if block.file]
    own_tests = [file for file in files if file.parts[0] == "tests" and file.suffix == ".py"]
    if own_tests:
        done = workbench.run(".venv/bin/python", "-m", "pytest", "-q", *map(str, own_tests))
        assert done.code == 0, done.output

    facts = effects(workbench, tmp_path)

    seconds = time.monotonic() - started
    shows = EFFECTS[recipe.title](facts)
    result = "works" if shows else "no effect"
    record_property("figure", f"| {recipe.title} | {gained} | {seconds:.0f} | {result} |")
    assert shows, facts
    assert gained == recipe.lines


def give_data(project: BakedProject) -> None:
    """The sample, with two dates and a note for each customer, and a database of calls."""
    project.make("sample", ARGS="--rows 2000 --history")
    customers = own_columns.add_columns(project.root / "data" / "sample" / "customers.csv")
    # The project's tests draw samples of their own.
    shutil.copy(own_columns.__file__, project.root / "tests")
    drawn = project.root / "tests" / "conftest.py"
    text = drawn.read_text(encoding="utf-8")
    for before, after in OWN_COLUMNS.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    drawn.write_text(text, encoding="utf-8")
    with sqlite3.connect(project.root / "data" / "crm.db") as database:
        database.execute("CREATE TABLE calls (customer_id TEXT, called_at TEXT, minutes INTEGER)")
        calls = [(each, "2024-12-20 09:00:00", n % 7) for n, each in enumerate(customers)]
        database.executemany("INSERT INTO calls VALUES (?, ?, ?)", calls[:1500])
    database.close()


def effects(project: BakedProject, folder: Path) -> Facts:
    """What shows after `make data train-local batch-predict serve`: of tables, reports, answers."""
    project.make("data", "train-local", "batch-predict", timeout=1200, **SMALL)
    kept = project.run(".venv/bin/python", "-c", KEPT, project.package.name)
    assert kept.code == 0, kept.output
    facts: Facts = json.loads(kept.output.strip().splitlines()[-1])
    checked = project.run(".venv/bin/python", "-m", project.package.name, "check", "--json")
    facts["models"] = json.loads(checked.output.strip().splitlines()[-1])["models"]
    facts["evaluation"] = json.loads(project.read("reports/evaluation.json"))
    facts["gates"] = json.loads(project.read("reports/promotion.json"))["outcomes"]

    port = free_ports()["MLOPS_SERVING__PORT"]
    address = f"http://127.0.0.1:{port}"
    (sent,) = set(CURL.findall(project.read("README.md")))
    asked = json.dumps({"customer_id": facts["customer"], "features": json.loads(sent)})

    def curl(path: str, body: str | None = None) -> Any:
        words = ["-H", "Content-Type: application/json", "-d", body] if body else []
        said = project.run("curl", "-s", f"{address}{path}", *words)
        return json.loads(said.output)

    environment = {**project.environment, "MLOPS_SERVING__PORT": port}
    log = folder / "server.log"
    with foreground(["make", "serve"], project.root, environment, log) as server:
        wait_for(f"{address}/ready", server, log)
        facts["model"] = curl("/model")
        needs_key = any(
            text.startswith("looked up by") for text in facts["model"]["features"].values()
        )
        asked = asked if needs_key else json.dumps({"features": json.loads(sent)})
        facts["answer"] = curl("/predict", asked)
        facts["answers"] = curl("/predict/batch", f'{{"instances": [{asked}, {asked}]}}')
        facts["answers"] = facts["answers"].get("predictions", facts["answers"])
        facts["call"] = curl("/call-list", asked)
        facts["many"] = curl("/predict/batch", json.dumps({"instances": [json.loads(asked)] * 101}))
        facts["shown"] = project.run("curl", "-s", f"{address}/metrics").output
    facts["log"] = log.read_text(encoding="utf-8")
    return facts
