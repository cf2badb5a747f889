"""`add-source`: a further source gets a contract that works, or an error that helps."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from goldpath.adoption.infer import Adoption
from goldpath.contract import Contract, ContractError, load_contract
from goldpath.errors import ProjectError
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.data.source_adoption import add_source
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings
from goldpath.source_contract import (
    SourceContract,
    dump_source,
    load_sources,
    parse_source,
    unused_parts,
)

from ..locations import PROJECT

ROWS = 60
PAYMENTS = "payment_id;client;paid_at;amount;method;note\n" + "".join(
    f"P-{n:04};C{n % 7};{1 + n % 28:02}.03.2026;{n + 0.5:.2f};{'card' if n % 3 else 'cash'};\n"
    for n in range(ROWS)
).replace(".50;", ",50;")

Add = Callable[..., Adoption]


@pytest.fixture
def add(project: Settings) -> Add:
    """Add a source called payments; options replace what is said about it."""
    folder = project.root / "data" / "raw"
    folder.mkdir(parents=True)
    (folder / "payments.csv").write_text(PAYMENTS, encoding="utf-8")

    def call(contract: Contract | None = None, **options: str | None) -> Adoption:
        said: dict[str, str | None] = {
            "name": "payments",
            "data": "data/raw/payments.csv",
            "entity": "client",
            "time": "paid_at",
            "key": "payment_id",
        }
        of = contract or load_contract(project.root)
        return add_source(project, of, **(said | options))  # type: ignore[arg-type]

    return call


def test_a_file_of_payments_becomes_a_source(add: Add, project: Settings) -> None:
    added = add()
    contract = load_contract(project.root)
    (payments,) = load_sources(project.root, contract.dataset)
    assert payments.belongs_to == contract.dataset
    assert added.contract_file == "config/sources/payments.yaml"
    assert (payments.dataset, payments.entity, payments.key) == (
        "payments",
        "client",
        "payment_id",
    )
    assert payments.source.path == "data/raw/payments.csv"
    assert (payments.source.delimiter, payments.source.decimal) == (";", ",")
    assert payments.event_time.format == "%d.%m.%Y"
    assert {each.name: each.type for each in payments.features} == {
        "amount": "number",
        "method": "category",
    }
    assert payments.by_name["method"].categories == ("card", "cash")
    assert payments.ignored == {"note": "no row has a value"}
    roles = {each.column: each.role for each in added.decisions}
    assert roles == {
        "payment_id": "key",
        "client": "entity",
        "paid_at": "event time",
        "amount": "column",
        "method": "column",
        "note": "ignored",
    }
    assert any("taken for the same subjects" in note for note in added.notes)


def test_a_source_cannot_have_the_tables_of_a_further_model(add: Add, project: Settings) -> None:
    add_model_file(project, "calls")

    with pytest.raises(ContractError, match="the tables of the model calls"):
        add(name="customer_churn_calls")
    assert not (project.root / "config/sources/customer_churn_calls.yaml").exists()


def test_a_source_added_for_a_further_model_belongs_to_the_rows_of_all(
    add: Add, project: Settings
) -> None:
    add_model_file(project, "calls")
    main, further = load_contract(project.root), load_contract(project.root, "calls")

    add(contract=further)

    assert [each.belongs_to for each in load_sources(project.root)] == [main.dataset]
    assert [each.dataset for each in load_sources(project.root, further.base)] == ["payments"]


def add_model_file(project: Settings, name: str) -> None:
    file = project.root / "models" / name / "project.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("problem: regression\ntarget: {column: calls}\n", encoding="utf-8")


def test_the_file_says_what_becomes_of_duplicates(add: Add, project: Settings) -> None:
    file = project.root / "config" / "sources" / "payments.yaml"
    add()
    assert "Of several rows with one payment_id, silver keeps" in file.read_text("utf-8")
    added = add(key=None)
    assert "No key: each row of the files that the source holds now" in file.read_text("utf-8")
    assert any("question: payment_id differs in every row" in note for note in added.notes)
    assert any(note.startswith("no KEY:") for note in added.notes)
    assert file.with_name("payments.yaml.bak").exists()
    assert len(load_sources(project.root)) == 1


def test_a_query_is_a_source_and_its_password_stays_in_the_environment(
    add: Add, project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = project.root / "secret.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE paid (client text, day text, amount real)")
        rows = [(f"C{n % 5}", f"2026-01-{1 + n % 28:02}", n + 0.5) for n in range(ROWS)]
        connection.executemany("INSERT INTO paid VALUES (?, ?, ?)", rows)
        connection.commit()
    monkeypatch.setenv("MLOPS_PAYMENTS_URL", f"sqlite:///{database}")
    query = "SELECT * FROM paid"
    add(data=query, time="day", key=None, url_variable="MLOPS_PAYMENTS_URL")
    (payments,) = load_sources(project.root)
    assert payments.source.query == query
    assert payments.source.url_variable == "MLOPS_PAYMENTS_URL"
    assert payments.by_name["amount"].type == "number"
    text = (project.root / payments.file).read_text("utf-8")
    assert "secret.db" not in text


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["C0", " C1 ", "C9"], "2 of 7 values of client are in customer_id in customer_churn"),
        (["0", "1"], "question: none of the 7 values of client (such as 'C0') is in customer_id"),
        (
            ["c-0", "C9"],
            "question: client has 'C0' where customer_id in customer_churn has 'c-0' (1",
        ),
        (
            ["C00.0", "C1"],
            "question: client has 'C0' where customer_id in customer_churn has 'C00.0'",
        ),
    ],
)
def test_ids_that_are_written_otherwise_than_in_the_main_table_are_a_question(
    add: Add, project: Settings, ids: list[str], said: str
) -> None:
    assert any("no row of customer_churn" in note for note in add().notes)
    main = project.root / load_contract(project.root).source.path
    main.parent.mkdir(parents=True, exist_ok=True)
    main.write_text("customer_id\n" + "".join(f"{each}\n" for each in ids), encoding="utf-8")
    assert any(note.startswith(said) for note in add().notes), add().notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": ""}, "TIME=: a source's rows need a time"),
        ({"time": "none"}, "TIME=none: a source's rows need a time"),
        ({"time": "method"}, "TIME=method holds no dates"),
        ({"entity": ""}, "ID is empty"),
        ({"entity": "cleint"}, "ID=cleint: the file has no such column"),
        ({"entity": "note"}, "ID=note has no value in any row"),
        ({"key": "client"}, "KEY=client is the ID too"),
        ({"key": "method"}, "KEY=method tells no rows apart: 58 of 60 rows"),
        ({"key": "note"}, "KEY=note has no value in any row"),
        ({"name": "customers"}, "customers is the main table's name"),
        ({"name": "Pay ments"}, "'Pay ments' cannot name a source"),
        ({"name": "gold"}, "gold is reserved"),
        ({"data": ""}, "DATA is empty"),
        ({"data": "data/raw/other.csv"}, "does not exist"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    options: dict[str, str], message: str, add: Add, project: Settings
) -> None:
    text = (project.root / "config" / "project.yaml").read_text("utf-8")
    dataset = load_contract(project.root).dataset
    (project.root / "config" / "project.yaml").write_text(
        text.replace(f"dataset: {dataset}", "dataset: customers"), "utf-8"
    )
    with pytest.raises(ProjectError) as caught:
        add(**options)
    assert message in caught.value.message
    assert caught.value.fix
    assert not (project.root / "config" / "sources").exists()


def test_the_column_of_the_time_is_suggested(add: Add) -> None:
    with pytest.raises(ProjectError) as caught:
        add(time="")
    assert caught.value.fix == "name its column: TIME=paid_at"


def test_another_source_is_not_replaced(add: Add, project: Settings) -> None:
    add()
    (project.root / "data" / "raw" / "more.csv").write_text(PAYMENTS, encoding="utf-8")
    with pytest.raises(ProjectError, match=r"is a source already, of data/raw/payments\.csv"):
        add(data="data/raw/more.csv")


def test_a_source_of_another_dataset_is_not_read_and_said(add: Add, project: Settings) -> None:
    add()
    file = project.root / "config" / "sources" / "payments.yaml"
    kept = file.read_text(encoding="utf-8")
    assert [each.dataset for each in load_sources(project.root, "telco")] == []
    assert [each.dataset for each in load_sources(project.root)] == ["payments"]
    said = unused_parts(project.root, "telco")
    assert "not read: config/sources/payments.yaml (customer_churn)" in said
    assert unused_parts(project.root, "customer_churn") == ""

    # As files were before: for whatever dataset.
    file.write_text(kept.replace("dataset: customer_churn\n", ""), encoding="utf-8")
    assert [each.dataset for each in load_sources(project.root, "telco")] == ["payments"]
    assert unused_parts(project.root, "telco") == ""


def test_a_source_of_another_dataset_is_not_replaced(add: Add, project: Settings) -> None:
    add()
    file = project.root / "config" / "sources" / "payments.yaml"
    text = file.read_text(encoding="utf-8").replace("dataset: customer_churn", "dataset: telco")
    file.write_text(text, encoding="utf-8")
    (project.root / "data" / "raw" / "more.csv").write_text(PAYMENTS, encoding="utf-8")
    with pytest.raises(ProjectError, match=r"is a source already, of data/raw/payments\.csv"):
        add(data="data/raw/more.csv")
    assert file.read_text(encoding="utf-8") == text


def test_a_sample_without_its_history_says_how_to_get_it(project: Settings) -> None:
    contract = load_contract(project.root)
    write_sample(project.root / contract.source.path, 100, 7, {})
    folder = project.root / "config" / "sources"
    folder.mkdir()
    shutil.copy(PROJECT / "config" / "sources" / "payments.yaml", folder)
    said = refresh(project, contract).broken_sources["payments"]  # which no feature needs here
    assert "data/sample/payments does not exist" in said
    assert said.endswith("make sample writes both")


SOURCE = """\
source: {path: data/raw/payments.csv}
entity: client
event_time: {column: paid_at}
key: payment_id
columns:
- {name: amount, type: number}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SOURCE.replace("entity: client\n", ""), "entity: Field required"),
        (SOURCE.replace("event_time: {column: paid_at}\n", ""), "event_time: Field required"),
        (SOURCE.replace("number", "money"), "columns.0.type (line 6): Input should be"),
        (SOURCE + "- {name: amount, type: integer}\n", "columns named twice: amount"),
        (SOURCE.replace("name: amount", "name: client"), "the entity 'client' is among"),
        (SOURCE.replace("key: payment_id", "key: amount"), "the key 'amount' is in columns, too"),
        (SOURCE.replace("key: payment_id", "key: client"), "the key 'client' is in entity, too"),
        (SOURCE.replace("paid_at", "client"), "'client' is both the entity and the event_time"),
        (SOURCE + "ignored: {amount: text}\n", "'amount' is ignored, and has a role too"),
        (SOURCE + "target: {column: amount}\n", "target (line 7): Extra inputs are not permitted"),
        (SOURCE + "dataset: Other\n", "dataset (line 7): String should match pattern"),
        (SOURCE.replace("name: amount", "name: prediction"), "reserved names cannot be columns"),
        ("source: {", "not valid YAML"),
    ],
)
def test_a_wrong_file_names_itself_the_key_and_the_value(text: str, message: str) -> None:
    with pytest.raises(ProjectError) as caught:
        parse_source(text, "payments")
    assert caught.value.message.startswith("config/sources/payments.yaml: ")
    assert message in caught.value.message
    assert caught.value.fix


def test_the_value_that_was_refused_is_shown() -> None:
    with pytest.raises(ProjectError, match=r"found 'money'"):
        parse_source(SOURCE.replace("number", "money"), "payments")


def test_a_source_is_read_back_as_it_was_written() -> None:
    source = parse_source(SOURCE, "payments")
    assert parse_source(dump_source(source), "payments") == source
    assert SourceContract(**dict(source)) == source
    other = parse_source(f"dataset: telco\n{SOURCE}", "payments")
    assert parse_source(dump_source(other), "payments") == other != source


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["payments.yaml", "payments.yml"], "two sources are called payments"),
        (["payments.yml"], "config/sources/payments.yml would be passed over"),
        (["Payments.yaml"], "'Payments' cannot name a source"),
        (["shop.yaml"], "shop is the main table's name"),
        (["silver.yaml"], "silver is reserved"),
    ],
)
def test_names_that_cannot_be_are_refused(files: list[str], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "sources"
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text(SOURCE, encoding="utf-8")
    with pytest.raises(ProjectError) as caught:
        load_sources(tmp_path, "shop")
    assert message in caught.value.message


def test_two_sources_may_have_the_same_columns(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "sources"
    folder.mkdir(parents=True)
    for name in ("payments", "refunds"):
        (folder / f"{name}.yaml").write_text(SOURCE, encoding="utf-8")
    (folder / "payments.yaml.bak").write_text("not a source", encoding="utf-8")
    assert [source.dataset for source in load_sources(tmp_path, "shop")] == ["payments", "refunds"]
    assert load_sources(tmp_path / "nowhere") == ()
