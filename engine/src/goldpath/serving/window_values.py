"""Window columns of a request: by its entity's key, at the request's time, for the chosen model."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.online.open_store import open_online_store
from goldpath.features.views import parse_ttl
from goldpath.features.window.learned import names_in
from goldpath.features.window.online import WindowReader
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.monitoring import Metrics
from goldpath.settings import Settings


class WindowValues:
    """Completes rows with the window columns of a model.

    Args:
        settings: Which store, how old it may be, and what is answered without it.
        metrics: Counts what was found.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        chosen = settings.features
        self._refuses = chosen.window_store_down == "refuse"
        self._hides = settings.access.personal_values != "keep"
        self._reader = WindowReader(
            lambda: open_online_store(settings),
            parse_ttl(chosen.window_ttl),
            metrics.window_looked_up,
        )

    def complete(
        self,
        rows: Sequence[Mapping[str, Any]],
        contract: Contract,
        entity: str | None,
        at: datetime,
    ) -> list[dict[str, Any]]:
        """The rows with the window columns; as they are where the model has none.

        Args:
            rows: Of one request.
            contract: The model's.
            entity: Whom the row is about.
            at: When it is asked.

        Raises:
            ProblemError: 422 without a key, 503 where the store does not answer and the settings do
                not have it passed over.
        """
        if not contract.window_features:
            return [dict(row) for row in rows]
        names = names_in(contract)
        if entity is None:
            raise ProblemError(
                422,
                f"the model takes what is known of {contract.entity} ({', '.join(names)}), and the "
                "request does not say whom it is about",
                f"send the key beside the features, a row at a time to /predict: "
                f'{{"{contract.entity}": …, "features": {{…}}}}',
            )
        try:
            known: Mapping[str, Any] = self._reader.values(contract, entity, at)
        except ProjectError as error:
            if self._refuses:
                raise ProblemError(503, error.message, error.fix, {"Retry-After": "5"}) from error
            known = dict.fromkeys(names)
        return [{**row, **known} for row in rows]

    def loggable(self, row: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
        """A row without window columns of personal data, where these are not logged."""
        if not self._hides or not contract.window_features:
            return dict(row)
        hidden = {*names_in(contract)} & {*contract.personal}
        return {name: value for name, value in row.items() if name not in hidden}
