"""Window features of a project, the whole way: two sources, training, batches, the service by key.

What gold, a batch and the service say of an entity at one moment must be the same bits.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goldpath import Aggregate, Project, Row, Rows, Value, row_feature, window_feature
from goldpath.contract import Contract, dump_contract
from goldpath.features.learned import learned_contract
from goldpath.features.row.complete import complete_rows
from goldpath.features.row.tracing import RowFeature
from goldpath.features.window.feature import WindowFeature
from goldpath.features.window.learned import values_of_nobody
from goldpath.features.window.materialized import WrittenTiles
from goldpath.jobs.batch import file_windows
from goldpath.jobs.batch import files as batch_files
from goldpath.jobs.batch.files import predict_file
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.privacy.forgetting import forget
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.stages import train
from goldpath.jobs.upkeep.materialization import materialize
from goldpath.jobs.upkeep.status import project_status
from goldpath.jobs.windows.model_windows import table_with_windows
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import gold_table, predictions_table
from goldpath.serving.api import create_service
from goldpath.serving.log.personal import HiddenColumns
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog, read_log
from goldpath.settings import Settings, load_settings
from goldpath.sources.files import SourceError

from ..api.conftest import until
from ..api.examples import TestClient
from ..conftest import forget_variables
from ..counts import times
from ..prepared_projects import PreparedProjects
from ..ready_made import add_ready_made

pytestmark = pytest.mark.slow

CONTRACT = Contract.model_validate(
    {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "in"},
        "entity": "customer",
        "event_time": {"column": "day"},
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [
            {"name": "age", "type": "integer", "minimum": 0},
            {"name": "plan", "type": "category", "nullable": True},
        ],
    }
)
PAYMENTS = """\
source: {path: pay}
entity: payer
event_time: {column: paid_at}
key: payment_id
columns:
- {name: amount, type: number, minimum: 0}
- {name: method, type: category, nullable: true}
"""
NOW = datetime.now(UTC).replace(tzinfo=None)
PEOPLE = 300
NEVER_PAID = frozenset(f"c{PEOPLE + number}" for number in range(20))
METHODS = ("card", "cash", "")
REQUEST = {"age": 40, "plan": "basic"}


@window_feature(source="payments", over=("30d", "90d"))
def paid(payments: Rows) -> dict[str, Aggregate]:
    """Payments of the customer."""
    return {
        "total": payments.amount.sum(),
        "count": payments.count(),
        "by_card": payments.where(payments.method == "card").amount.sum(),
        "largest": payments.amount.max(),
        "methods": payments.method.distinct_count(),
        "last": payments.method.last(),
        "days": payments.days_since_last(),
    }


@row_feature
def paid_each(row: Row) -> Value:
    return (row.paid_total_90d / row.paid_count_90d).coalesce(0)


@row_feature
def plan_letters(row: Row) -> Value:
    return row.plan.length()


OWN = (paid_each, plan_letters, paid)


def with_features(root: Path, *features: RowFeature | WindowFeature) -> Settings:
    return load_settings(root, Project(features=lambda: features))


def shop_with_champion(settings: Settings) -> None:
    """Two sources, and a champion with window features; its promotion filled the online store."""
    root = settings.root
    add_ready_made(settings)
    (root / "config" / "project.yaml").write_text(dump_contract(CONTRACT), encoding="utf-8")
    (root / "config" / "sources").mkdir()
    (root / "config" / "sources" / "payments.yaml").write_text(PAYMENTS, encoding="utf-8")
    dice = Random(7)
    payments = [
        (f"c{dice.randrange(PEOPLE)}", ago(dice.uniform(0.1, 200)), round(dice.uniform(1, 60), 2))
        for _ in range(8 * PEOPLE)
    ]
    pay(root, "a", payments)
    rows = []
    for number in range(2 * PEOPLE):
        day = ago(dice.uniform(1, 100))
        who = f"c{number % (PEOPLE + len(NEVER_PAID))}"
        total = sum(
            amount
            for payer, at, amount in payments
            if payer == who and timedelta() < day - at < timedelta(days=90)
        )
        age = dice.randrange(18, 90)
        chance = dice.gauss(0, 15)  # payments alone must not tell the label: that would be a leak
        rows.append((who, day, age, "yes" if total + age / 9 + chance > 90 else "no"))
    deliver(root, "a", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_TRAINING__TRIALS", "1")
        patch.setenv("MLOPS_TRAINING__MINIMUM_TEST_ROWS", "100")
        patch.setenv("MLOPS_TRAINING__PARITY_ROWS", "1000")
        own = with_features(root, *OWN)
        refresh(own, CONTRACT)
        candidate = train(own, CONTRACT, "first")
        promote(own, CONTRACT, candidate.model_version)
    forget_variables()


@pytest.fixture
def shop(prepared_projects: PreparedProjects) -> Settings:
    settings, _ = prepared_projects.restore(shop_with_champion)
    return with_features(settings.root, *OWN)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def pay(root: Path, name: str, payments: Sequence[tuple[str, datetime, float]]) -> None:
    lines = [
        f"{name}{number},{who},{at.isoformat()},{amount},{METHODS[number % 3]}"
        for number, (who, at, amount) in enumerate(payments)
    ]
    write(root / "pay" / f"{name}.csv", ["payment_id,payer,paid_at,amount,method", *lines])


def deliver(root: Path, name: str, rows: Sequence[tuple[str, datetime, int, str]]) -> Path:
    lines = [f"{who},{day.isoformat()},{age},basic,{bought}" for who, day, age, bought in rows]
    return write(root / "in" / f"{name}.csv", ["customer,day,age,plan,bought", *lines])


def write(file: Path, lines: Sequence[str]) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return file


@contextmanager
def service(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_service(settings, CONTRACT)) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


def ask(client: TestClient, who: str) -> float:
    answer = client.post("/predict", json={"customer": who, "features": REQUEST})
    assert answer.is_success, answer.text
    return float(answer.json()["probabilities"]["yes"])


def logged(settings: Settings, who: str) -> dict[str, Any]:
    """The newest line of the prediction log about somebody."""
    lines = read_log(settings.root / settings.serving.prediction_log, 1_000)
    return next(line for line in lines if line["entity"] == who)


def scores(settings: Settings, run: str) -> dict[tuple[str, datetime], float]:
    lakehouse = open_lakehouse(settings)
    rows = lakehouse.read(predictions_table(CONTRACT))
    found = lakehouse.collect(rows.filter(rows.run_id == run)).to_pylist()
    return {(each["customer"], each["event_time"]): each["score"] for each in found}


def columns_of(settings: Settings, table: Any, names: Sequence[str]) -> dict[Any, dict[str, Any]]:
    lakehouse = open_lakehouse(settings)
    held = lakehouse.collect(lakehouse.read(table)).to_pylist()
    return {
        (each["customer"], each["event_time"]): {name: each[name] for name in names}
        for each in held
    }


def test_gold_batch_and_service_say_the_same_of_an_entity_at_one_moment(shop: Settings) -> None:
    learned = learned_contract(shop, CONTRACT)
    names = [each.name for each in learned.window_features]
    assert len(names) == 14

    # The service, by key; one of these has never paid, and nobody knows the last one.
    asked = ("c1", "c2", f"c{PEOPLE + 3}", "nobody")
    with service(shop) as client:
        served = {who: ask(client, who) for who in asked}
        metrics = client.get("/metrics").text
    assert 'ml_window_lookups_total{outcome="found"} 2.0' in metrics
    assert 'ml_window_lookups_total{outcome="unknown"} 2.0' in metrics
    lines = {who: logged(shop, who) for who in asked}
    known = {who: {name: lines[who]["features"][name] for name in names} for who in asked}
    moment = {
        who: datetime.fromisoformat(lines[who]["at"]).astimezone(UTC).replace(tzinfo=None)
        for who in asked
    }
    assert known["c1"]["paid_count_90d"] > 0
    assert known["nobody"] == values_of_nobody(learned) == known[f"c{PEOPLE + 3}"]

    # A batch of a file with these entities at these moments.
    rows = [(who, moment[who], 40, "no") for who in asked]
    file = deliver(shop.root, "asked", rows)
    predict_batch(shop, CONTRACT, data=file, run_id="file")
    in_batch = scores(shop, "file")
    held = columns_of(shop, predictions_table(CONTRACT), names)
    for who in asked:
        assert held[who, moment[who]] == known[who]
        assert in_batch[who, moment[who]] == served[who]

    # Gold with these rows, with what a row feature makes of the windows; and a batch of gold.
    refresh(shop, CONTRACT)
    gold = columns_of(shop, gold_table(CONTRACT), [*names, "paid_each"])
    for who in asked:
        expected = complete_rows([{**REQUEST, **known[who]}], learned)[0]
        assert gold[who, moment[who]] == {name: expected[name] for name in (*names, "paid_each")}
    predict_batch(shop, CONTRACT, run_id="gold")
    in_gold = scores(shop, "gold")
    assert {who: in_gold[who, moment[who]] for who in asked} == served
    never_paid = [values for (who, _), values in gold.items() if who in NEVER_PAID]
    assert never_paid
    for values in never_paid:  # what training saw of them
        assert {name: values[name] for name in names} == values_of_nobody(learned)

    # Another formula in the project: the champion's answers do not move, in batch or service.
    other = window_feature(source="payments", over="30d", name="paid")(
        lambda payments: {"total": payments.amount.min()}
    )
    edited = with_features(shop.root, other)
    refresh(edited, CONTRACT)
    predict_batch(edited, CONTRACT, run_id="edited")
    assert scores(edited, "edited") == in_gold
    assert "paid_each is gone" in project_status(edited, CONTRACT).champion
    gold_now = check_drift(edited, CONTRACT, None, html=False, source="table")
    assert (gold_now.exit_code, gold_now.drifted_columns) == (3, {}), "rows of the training"


@pytest.mark.parametrize("rows_a_look", [1 << 20, 100])
def test_a_file_to_a_file_looks_windows_up_as_gold_does(
    shop: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_a_look: int
) -> None:
    monkeypatch.setattr(file_windows, "ROWS_A_LOOK", rows_a_look)
    monkeypatch.setattr(batch_files, "ROWS_A_CHUNK", 64)
    dice = Random(3)
    rows: list[dict[str, Any]] = [
        {
            "customer": f"c{dice.randrange(PEOPLE + 30)}",
            "day": ago(dice.uniform(0, 100)),
            "age": dice.randrange(18, 90),
            "plan": dice.choice(["basic", "a plan that nobody was trained with", None]),
        }
        for _ in range(400)
    ]
    source = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), source)

    predict_file(shop, CONTRACT, source, tmp_path / "out.parquet")
    predict_batch(shop, CONTRACT, data=source, run_id="table")

    written = pq.read_table(tmp_path / "out.parquet").to_pylist()
    of_table = scores(shop, "table")
    assert [each["score"] for each in written] == [
        of_table[each["customer"], each["day"]] for each in rows
    ]
    assert len({each["score"] for each in written}) > 100

    # Times of another type; what is wrong with whom and when is said, row by row.
    texts = [{**each, "day": each["day"].isoformat() + "Z"} for each in rows]
    texts[3] |= {"day": "yesterday"}
    texts[5] |= {"customer": None, "age": -1}
    pq.write_table(pa.Table.from_pylist(texts), source)
    found = predict_file(shop, CONTRACT, source, tmp_path / "out.parquet")
    again = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert found.refused_rows == 2
    assert again[3]["refused"] == "day: 'yesterday' is not a time"
    assert again[5]["refused"] == "customer: missing; age: is below 0"
    fine = [place for place in range(400) if place not in (3, 5)]
    assert [again[place]["score"] for place in fine] == [written[place]["score"] for place in fine]

    pq.write_table(pa.Table.from_pylist(rows).drop_columns(["day"]), source)
    with pytest.raises(
        SourceError, match=r"lacks day, and the champion takes what .*paid_total_30d"
    ):
        predict_file(shop, CONTRACT, source, tmp_path / "other.parquet")
    assert not (tmp_path / "other.parquet").exists()


@pytest.mark.soak
def test_questions_by_key_are_answered_as_a_batch_answers_them(
    shop: Settings, tmp_path: Path
) -> None:
    """To the last bit: windows, what row features make of them, and the score."""
    dice, count = Random(11), times(200, 100_000)
    names = [each.name for each in learned_contract(shop, CONTRACT).window_features]
    questions: list[tuple[str, dict[str, Any]]] = [
        (
            f"c{dice.randrange(PEOPLE + 30)}",
            {
                "age": dice.randrange(18, 90),
                "plan": dice.choice(["basic", "a plan that nobody was trained with", None]),
            },
        )
        for _ in range(count)
    ]
    with service(shop) as client:
        served: list[float] = []
        for who, features in questions:
            answer = client.post("/predict", json={"customer": who, "features": features})
            served.append(answer.json()["probabilities"]["yes"])
    lines = read_log(shop.root / shop.serving.prediction_log, count)[::-1]
    assert [line["entity"] for line in lines] == [who for who, _ in questions]
    rows = [
        {"customer": who, "day": datetime.fromisoformat(line["at"]).replace(tzinfo=None)} | features
        for (who, features), line in zip(questions, lines, strict=True)
    ]
    source = tmp_path / "asked.parquet"
    pq.write_table(pa.Table.from_pylist(rows), source)

    predict_file(shop, CONTRACT, source, tmp_path / "out.parquet")

    written = pq.read_table(tmp_path / "out.parquet")["score"].to_pylist()
    assert [score.hex() for score in written] == [score.hex() for score in served]
    assert len(set(served)) > count / 10
    table = pa.table(
        {
            "customer": [row["customer"] for row in rows],
            "event_time": pa.array([row["day"] for row in rows], pa.timestamp("us")),
        }
    )
    known = table_with_windows(open_lakehouse(shop), table, learned_contract(shop, CONTRACT))
    held = {(each["customer"], each["event_time"]): each for each in known.to_pylist()}
    for row, line in zip(rows, lines, strict=True):
        found = held[row["customer"], row["day"]]
        assert {name: line["features"][name] for name in names} == {n: found[n] for n in names}


def test_what_is_forgotten_or_paid_since_is_so_in_the_service_after_it_is_materialized(
    shop: Settings,
) -> None:
    nobody = values_of_nobody(learned_contract(shop, CONTRACT))
    assert materialize(shop, CONTRACT).windows == {"paid": WrittenTiles(0, 0)}
    with service(shop) as client:
        before = ask(client, "c1")
    count = logged(shop, "c1")["features"]["paid_count_30d"]

    pay(shop.root, "b", [("c1", ago(1.5), 7.25)])
    refresh(shop, CONTRACT)
    assert materialize(shop, CONTRACT).windows == {"paid": WrittenTiles(1, 0)}

    with service(shop) as client:
        ask(client, "c1")
    values = logged(shop, "c1")["features"]
    assert (values["paid_count_30d"], values["paid_last_30d"]) == (count + 1, "card")

    forget(shop, CONTRACT, "c1", yes=True)
    materialize(shop, CONTRACT)

    with service(shop) as client:
        after = ask(client, "c1")
        stranger = ask(client, "nobody")
    assert after == stranger != before
    assert {name: logged(shop, "c1")["features"][name] for name in nobody} == nobody


def test_windows_of_a_column_that_became_personal_are_not_judged_and_no_drift(
    shop: Settings,
) -> None:
    lakehouse = open_lakehouse(shop)
    gold = lakehouse.collect(lakehouse.read(gold_table(CONTRACT))).to_pylist()
    source = shop.root / "config" / "sources" / "payments.yaml"
    source.write_text(f"{source.read_text()}personal: [amount]\n", encoding="utf-8")
    since = with_features(shop.root, *OWN)
    at = datetime.now(UTC) - timedelta(days=1)
    log = PredictionLog(shop.root / shop.serving.prediction_log)
    hidden = HiddenColumns(since, CONTRACT).of(learned_contract(shop, CONTRACT))
    assert "paid_total_30d" in hidden
    for number, row in enumerate(gold):  # as the service writes them now
        kept = {name: row[name] for name in shown_names(shop) if name not in hidden}
        log.write([LoggedPrediction(f"{number}", at.isoformat(), "1", kept, "no", 0.5)])
    log.close()

    report = check_drift(since, CONTRACT, None, html=False, source="service")

    assert report.rows >= 500
    assert not {name for name in report.drifted_columns if name.startswith("paid")}
    (said,) = [note for note in report.notes if note.startswith("not compared")]
    assert "paid_total_30d" in said
    assert "paid_count_30d" not in said, "it reads no personal column"


def shown_names(settings: Settings) -> list[str]:
    """The columns of a row that the service logs: what is sent, and the windows."""
    learned = learned_contract(settings, CONTRACT)
    return [*REQUEST, *(each.name for each in learned.window_features)]


def test_values_of_an_old_materialization_are_missing_and_counted(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_FEATURES__WINDOW_TTL", "1s")
    time.sleep(1)

    with service(with_features(shop.root, *OWN)) as client:
        ask(client, "c1")
        metrics = client.get("/metrics").text

    assert 'ml_window_lookups_total{outcome="expired"} 1.0' in metrics
    values = logged(shop, "c1")["features"]
    missing = dict.fromkeys(values_of_nobody(learned_contract(shop, CONTRACT)))
    assert {name: values[name] for name in missing} == missing
