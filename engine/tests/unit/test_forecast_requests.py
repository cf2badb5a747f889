"""Requests for rows of a series ahead of their time: what they hold, and what is looked up."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import defstruct
from pydantic import TypeAdapter, ValidationError

from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.learned import with_own_features
from goldpath.features.online.sqlite import SqliteOnlineStore
from goldpath.features.online.store import OnlineRow, microseconds
from goldpath.features.row.learned import with_rows
from goldpath.features.row.tracing import Row, row_feature
from goldpath.features.row.values import Value
from goldpath.features.window.definition import WindowDefinition
from goldpath.features.window.feature import WindowFeature
from goldpath.features.window.lags import rolling_mean
from goldpath.features.window.learned import definitions_in
from goldpath.features.window.online import (
    TILES,
    NotKnownYetError,
    Outcome,
    TilesWritten,
    WindowColumns,
    WindowReader,
    view_of,
)
from goldpath.features.window.tiles import EntityTiles
from goldpath.model_version import ModelVersion
from goldpath.project import Project
from goldpath.serving.lane.answers import AnswerWriter
from goldpath.serving.lane.entity_rows import LONGEST_WINDOW, EntityRows, left_to_app
from goldpath.serving.lane.request_structs import DecodedRow
from goldpath.serving.log.personal import HiddenColumns
from goldpath.serving.metrics.service import REGRESSION_LABEL
from goldpath.serving.predictor import Champion, NoModelError, Predictor
from goldpath.serving.schemas import keyed_requests, request_models
from goldpath.serving.shadow import Shadow
from goldpath.serving.stored_features import StoredFeatures
from goldpath.serving.window_values import WindowValues
from goldpath.settings import Settings
from goldpath.source_contract import SourceContract

HOUR = timedelta(hours=1)
NEWEST = datetime(2026, 11, 29, 23)
FORECAST = {
    "horizon": "24h",
    "step": "1h",
    "season": "24h",
    "lags": ["24h", "36h"],
    "per_entity": True,
}

WEATHER = SourceContract.model_validate(
    {
        "dataset": "weather",
        "source": {"path": "weather.csv"},
        "entity": "store",
        "event_time": {"column": "at"},
        "columns": [{"name": "wind", "type": "number"}],
    }
)


def series(**changed: Any) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "stores",
            "problem": "regression",
            "source": {"path": "stores.csv"},
            "entity": "store",
            "event_time": {"column": "at"},
            "target": {"column": "sold"},
            "forecast": FORECAST,
            "features": [
                {"name": "promo", "type": "integer"},
                {"name": "place", "type": "category"},
                {"name": "temp", "type": "number", "nullable": True},
            ],
            **changed,
        }
    )


def learned(**changed: Any) -> Contract:
    return with_own_features(series(**changed), Project(), [])


def keyed(features: dict[str, Any]) -> list[Any]:
    """What a body by key asks, once it was checked."""
    models = request_models(series(), by_key=True, looks_up=True)
    body = TypeAdapter(models.single("PredictRequest")).validate_python(
        {"store": "S1", "features": features}
    )
    return keyed_requests(body) or []


def test_a_keyed_forecast_is_about_its_own_time_and_not_the_newest_row() -> None:
    sent = {"event_time": "2026-11-30T10:00:00Z", "promo": 1, "place": "north"}
    settings: Any = None  # the store is not asked, whether it knows the entity or not
    models = request_models(series(), by_key=True, looks_up=True)

    rows = StoredFeatures(settings, series(), models.row).rows(keyed(sent), may_be_unknown=True)

    at = datetime(2026, 11, 30, 10, tzinfo=UTC)
    assert rows == [{"event_time": at, "promo": 1, "place": "north", "temp": None}]


@pytest.mark.parametrize("left_out", ["event_time", "promo", "place"])
def test_a_keyed_forecast_sends_the_features_of_that_time(left_out: str) -> None:
    sent = {"event_time": "2026-11-30T10:00:00Z", "promo": 1, "place": "north", "temp": 2.5}

    with pytest.raises(ValidationError, match=f"{left_out}\n +Field required"):
        keyed({name: value for name, value in sent.items() if name != left_out})


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-30T10:00:00.000Z", 0),
        ("2026-11-30T12:00:00.25+02:00", 250_000),
        ("2026-11-30 10:00:00.123456789", 123_456),
        ("2026-11-30T10:00:00Z", 0),
    ],
)
def test_times_may_have_a_fraction_as_javascript_writes_one(text: str, microsecond: int) -> None:
    (asked,) = keyed({"event_time": text, "promo": 1, "place": "north"})

    assert asked.features["event_time"] == datetime(2026, 11, 30, 10, 0, 0, microsecond, UTC)


@pytest.mark.parametrize("text", ["2026-11-30T10:00.5Z", "2026-11-30T10:00:00.Z", "10:00:00.5", 5])
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(ValidationError, match="not a time such as"):
        keyed({"event_time": text, "promo": 1, "place": "north"})


def test_a_route_of_the_projects_own_may_give_a_datetime_with_its_zone() -> None:
    east = datetime(2026, 11, 30, 12, tzinfo=timezone(2 * HOUR))

    (asked,) = keyed({"event_time": east, "promo": 1, "place": "north"})

    assert asked.features["event_time"] == datetime(2026, 11, 30, 10, tzinfo=UTC)
    with pytest.raises(ValidationError, match="not a time such as"):
        keyed({"event_time": east.replace(tzinfo=None), "promo": 1, "place": "north"})


class Spied(SqliteOnlineStore):
    """Remembers what was read."""

    asked: list[tuple[str, ...]]

    def read(self, view: str, entities: Any) -> list[OnlineRow | None]:
        self.asked.append(tuple(entities))
        return super().read(view, entities)


def filled(file: Path, contract: Contract) -> Spied:
    """Two stores' hours until `NEWEST`, each with its own number, and what the views say."""
    store = Spied(file)
    store.asked = []
    for definition in definitions_in(contract):
        rows = [
            OnlineRow(name, NEWEST, {TILES: tiles(definition, first).dump()})
            for name, first in (("S1", 100), ("S2", 500))
        ]
        store.write_batch(view_of(definition), rows)
        state = TilesWritten(1, NEWEST, NEWEST, json.dumps(definition.dump()))
        store.write_state(view_of(definition), state.dump())
    return store


def tiles(definition: WindowDefinition, first: int) -> EntityTiles:
    held = {}
    for number in range(48):
        at = microseconds(NEWEST - (47 - number) * HOUR)
        held[definition.geometry.tile_of(at)] = ((at, float(first + number)),)
    return EntityTiles(definition, held)


def test_each_key_is_read_and_parsed_once_however_many_times_are_asked(tmp_path: Path) -> None:
    contract, parsed, outcomes = learned(), [], list[Outcome]()
    store = filled(tmp_path / "online.db", contract)

    def decode(text: str) -> Any:
        parsed.append(text)
        return json.loads(text)

    reader = WindowReader(lambda: store, counted=outcomes.append, decode=decode)
    hours = range(1, 13)
    owners = ["S1" if hour % 2 else "S2" for hour in hours] + ["nobody"]
    times = [(NEWEST + hour * HOUR).replace(tzinfo=UTC) for hour in hours]

    found = reader.values_ahead(contract, owners, [*times, times[0]], NEWEST.replace(tzinfo=UTC))

    assert store.asked == [("S1", "S2", "nobody")] * 2
    assert len(parsed) == 4
    for owner, hour, values in zip(owners, hours, found, strict=False):
        newest = (100 if owner == "S1" else 500) + 47
        assert values == {
            "sold_lag_24h": newest + hour - 24,
            "sold_lag_36h": newest + hour - 36,
        }
    assert found[-1] == {"sold_lag_24h": None, "sold_lag_36h": None}
    assert (outcomes.count("found"), outcomes.count("unknown")) == (24, 2)


def test_one_row_beyond_the_reach_takes_nothing_from_the_others(tmp_path: Path) -> None:
    contract, outcomes = learned(), list[Outcome]()
    store, now = filled(tmp_path / "online.db", contract), NEWEST.replace(tzinfo=UTC)
    reader = WindowReader(lambda: store, counted=outcomes.append)
    asked = contract, ["S1", "S1", "S1"], [now + 20 * HOUR, now + 30 * HOUR, now + 40 * HOUR], now

    found = reader.values_ahead(*asked, unknown_is_missing=True)

    assert found == [
        {"sold_lag_24h": 143, "sold_lag_36h": 131},
        {"sold_lag_24h": None, "sold_lag_36h": 141},
        {"sold_lag_24h": None, "sold_lag_36h": None},
    ]
    assert outcomes.count("unavailable") == 3
    with pytest.raises(NotKnownYetError, match="takes later rows"):
        reader.values_ahead(*asked)


def test_what_the_project_calls_personal_now_is_hidden_of_older_versions_too(
    tmp_path: Path,
) -> None:
    settings, metrics = (
        Settings(root=tmp_path, access={"personal_values": "drop"}),
        SimpleNamespace(),
    )
    metrics.window_looked_up = print
    project = learned(personal=("sold",))
    assert "sold_lag_24h" in project.personal

    hidden = WindowValues(settings, metrics, project).hidden(learned())  # type: ignore[arg-type]

    assert hidden == {"sold_lag_24h", "sold_lag_36h"}


def test_what_is_computed_from_a_hidden_column_is_hidden(tmp_path: Path) -> None:
    def half(row: Row) -> Value:
        return row.sold_lag_24h / 2

    settings = Settings(root=tmp_path, access={"personal_values": "drop"})
    version = with_rows(learned(), [row_feature(half)])

    hidden = HiddenColumns(settings, learned(personal=("sold",))).of(version)

    assert hidden == {"sold_lag_24h", "sold_lag_36h", "half"}
    assert HiddenColumns(settings, learned()).of(version) == set()


def test_where_the_sources_cannot_be_read_every_window_is_hidden_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config" / "sources" / "payments.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("[")
    settings = Settings(root=tmp_path, access={"personal_values": "drop"})

    hidden = HiddenColumns(settings, learned()).of(learned())

    assert hidden == {"sold_lag_24h", "sold_lag_36h"}
    assert "config/sources/payments.yaml" in caplog.text


def _model(contract: Contract) -> Any:
    return SimpleNamespace(contract=contract)


def test_the_lane_leaves_requests_that_say_for_when_to_the_app(tmp_path: Path) -> None:
    without = series(forecast=None)

    for model, project in ((without, series()), (learned(), series()), (learned(), without)):
        said = left_to_app(_model(model), project, Settings(root=tmp_path))
        assert said == "each row says for when it is asked"
    assert left_to_app(_model(without), without, Settings(root=tmp_path)) is None


def test_the_lane_leaves_long_windows_to_the_app(tmp_path: Path) -> None:
    for hours, said in ((LONGEST_WINDOW, None), (LONGEST_WINDOW + 1, "has 501 tiles")):
        means = [rolling_mean("wind", hours=hours, source="weather")]
        project = Project(features=means.copy)
        contract = with_own_features(series(forecast=None), project, [WEATHER])
        model = object.__new__(CompiledModel)
        object.__setattr__(model, "contract", contract)

        why = left_to_app(model, series(forecast=None), Settings(root=tmp_path))

        assert (why is None) if said is None else (why is not None and said in why)


@pytest.mark.parametrize("shorter", [(), ("1h",), ("1h", "2h", "3h")])
def test_the_longest_of_a_features_windows_says_whether_the_app_answers(
    tmp_path: Path, shorter: tuple[str, ...]
) -> None:
    for hours, is_left in ((LONGEST_WINDOW, False), (LONGEST_WINDOW + 1, True)):
        model = object.__new__(CompiledModel)
        object.__setattr__(model, "contract", with_weather(*shorter, f"{hours}h"))
        why = left_to_app(model, series(forecast=None), Settings(root=tmp_path))
        assert (why is not None) is is_left


def test_rows_are_the_apps_while_their_windows_cannot_be_looked_up() -> None:
    contract = with_weather("1h")
    known: Any = dict.fromkeys(WindowColumns.of(contract).names, 2.5)
    answers: list[Any] = [[known], ProjectError("the store is locked", "wait")]

    def look_up(*_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    reader: Any = SimpleNamespace(look_up=look_up)
    rows = EntityRows(reader, (), contract, [each.name for each in contract.features])
    sent = defstruct("Sent", [(name, Any) for name in rows.sent])
    values = (1, "here", 20.0)
    row = DecodedRow(sent(*values), values, "S1")

    found = rows.complete([row], NEWEST)

    assert found is not None
    assert (found[0].values, found[0].entity) == ((*values, 2.5), "S1")
    assert rows.complete([row], NEWEST) is None


def with_weather(*over: str) -> Contract:
    """A model's contract with the wind of the last hours, over each of these windows."""
    wind = WindowFeature("wind", lambda rows: rows.wind.mean(), "weather", over, "1h")
    return with_own_features(series(forecast=None), Project(features=lambda: [wind]), [WEATHER])


def test_a_shadow_with_windows_gets_no_rows_that_name_nobody() -> None:
    """One row without its window columns cost the shadow all that were waiting with it."""
    plain, offered = series(forecast=None), []

    class Watched(Shadow):
        def offer(self, names: Any, rows: Any, scores: Any) -> None:
            offered.extend(rows)

    log: Any = SimpleNamespace(personal=None, append=lambda *_: True)
    champion = Champion(ModelVersion("stores", "1", "run", ("champion",), {}), _model(plain))
    row = DecodedRow({"promo": 1}, (1,), None)
    for contract in (learned(), plain):
        shadow = Champion(ModelVersion("stores", "2", "run", (), {}), _model(contract))
        traffic: Any = SimpleNamespace(shadow=shadow)
        writer = AnswerWriter(
            champion,
            plain,
            ["promo"],
            log,
            {REGRESSION_LABEL: lambda _: None},
            Watched(traffic, log, lambda *_: None),
        )

        assert writer.singles([row], [(2.5,)])[0] is not None

    assert offered == [{"promo": 1}]


def test_a_model_that_forecasts_does_not_serve_a_project_that_does_not(tmp_path: Path) -> None:
    predictor = Predictor(Settings(root=tmp_path), series(forecast=None))

    with pytest.raises(NoModelError, match=r"it forecasts, and config/project\.yaml has no"):
        predictor._check_fits(_model(learned()))
    Predictor(Settings(root=tmp_path), series())._check_fits(_model(series(forecast=None)))
