"""Window columns of a request: by its entity's key, at the request's time, for the chosen model.

A forecast's rows say their own time, and their columns are those of that time.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import ProjectError
from goldpath.features.online.open_store import open_online_store
from goldpath.features.views import parse_ttl
from goldpath.features.window.definition import EVERYBODY
from goldpath.features.window.learned import definitions_in, names_in
from goldpath.features.window.online import TimeNotKeptError, WindowReader
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.log.personal import HiddenColumns, hidden_columns
from goldpath.serving.metrics.service import Metrics
from goldpath.settings import Settings


class WindowValues:
    """Completes rows with the window columns of a model.

    Args:
        settings: Which store, how old it may be, and what is answered without it.
        metrics: Counts what was found.
        project: The project's present contract, with its own features: it says what is personal
            now, whatever a version says.
    """

    def __init__(self, settings: Settings, metrics: Metrics, project: Contract) -> None:
        chosen = settings.features
        self._refuses = chosen.window_store_down == "refuse"
        self._personal = hidden_columns(settings, project)
        self._hidden = HiddenColumns(settings, project)
        self._reader = WindowReader(
            lambda: open_online_store(settings),
            parse_ttl(chosen.window_ttl),
            metrics.window_looked_up,
            msgspec.json.decode,
        )

    def complete(
        self,
        rows: Sequence[Mapping[str, Any]],
        contract: Contract,
        entities: Sequence[str] | None,
        at: datetime,
    ) -> list[dict[str, Any]]:
        """The rows with the window columns; as they are where the model has none.

        Args:
            rows: Of one request.
            contract: The model's.
            entities: Whom each row is about.
            at: When it is asked.

        Raises:
            ProblemError: 422 without a key, or of a forecast without a time that can be answered;
                503 where the store does not answer and the settings do not have it passed over.
        """
        # A version without a forecast may serve while the project's requests say for when already.
        own = [dict(row) for row in rows]
        for each in own:
            each.pop(EVENT_TIME, None)
        if not contract.window_features:
            return own
        names = names_in(contract)
        if entities is None and not any(each.entity for each in definitions_in(contract)):
            entities = [EVERYBODY] * len(rows)
        if entities is None:
            raise ProblemError(
                422,
                f"the model takes what is known of {contract.entity} ({', '.join(names)}), and the "
                "request does not say whom it is about",
                f'send the key beside the features: {{"{contract.entity}": …, "features": '
                f"{{…}}}}, also as an item of instances; to /invocations as a column",
            )
        known: Sequence[Mapping[str, Any]]
        try:
            if contract.forecast is None:
                known = self._reader.values_of(contract, entities, at)
            else:
                known = self._ahead(rows, contract, entities, at)
        except TimeNotKeptError as error:
            raise ProblemError(422, error.message, error.fix) from error
        except ProjectError as error:
            if self._refuses:
                raise ProblemError(503, error.message, error.fix, {"Retry-After": "5"}) from error
            known = [dict.fromkeys(names)] * len(rows)
        return [{**row, **values} for row, values in zip(own, known, strict=True)]

    def _ahead(
        self,
        rows: Sequence[Mapping[str, Any]],
        contract: Contract,
        entities: Sequence[str],
        now: datetime,
    ) -> Sequence[Mapping[str, Any]]:
        """The window columns at each row's own time."""
        times = [_time_of(row, contract, now) for row in rows]
        return self._reader.values_ahead(
            contract, entities, times, now, unknown_is_missing=not self._refuses
        )

    def hidden(self, contract: Contract) -> frozenset[str]:
        """The features whose values are personal, where those are neither logged nor shown."""
        return self._hidden.of(contract).union(self._personal)

    def loggable(self, row: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
        """A row without window columns of personal data, where these are not logged."""
        if not contract.window_features:
            return dict(row)
        hidden = self.hidden(contract).intersection(names_in(contract))
        return {name: value for name, value in row.items() if name not in hidden}


def _time_of(row: Mapping[str, Any], contract: Contract, now: datetime) -> datetime:
    """The time that a row is about.

    Args:
        row: Of a checked request.
        contract: Of the model, which forecasts.
        now: When it is asked.

    Raises:
        ProblemError: 422 where the row does not say, or its time is beyond the horizon.
    """
    forecast, time = contract.forecast, row.get(EVENT_TIME)
    if forecast is None or not isinstance(time, datetime):
        raise ProblemError(
            422,
            f"the model forecasts {contract.target.column}, and the request does not say for when",
            f'send the time among the features: {{"{EVENT_TIME}": "2026-11-29T08:30:00Z", …}}',
        )
    if time - now > timedelta(seconds=forecast.horizon_seconds):
        raise ProblemError(
            422,
            f"{EVENT_TIME} {time:%Y-%m-%d %H:%M:%S} is more than {forecast.horizon} ahead, which "
            "is the model's horizon",
            f"ask for a time of the next {forecast.horizon}",
        )
    return time
