"""Window features in the fast lane: read by a request's key, in the event loop.

Only from an online store in a file of this machine, where a row takes microseconds and a reader
waits for nobody; what the store cannot answer at once is the app's.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import defstruct
from msgspec.structs import astuple

from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.online.open_store import open_online_store
from goldpath.features.views import parse_ttl
from goldpath.features.window.learned import definitions_in
from goldpath.features.window.online import Outcome, WindowColumns, WindowReader
from goldpath.serving.lane.request_structs import DecodedRow
from goldpath.serving.metrics.service import Metrics
from goldpath.serving.predictor import ServedModel
from goldpath.settings import Settings

LONGEST_WINDOW = 500
"""In tiles: what the event loop decodes and adds up between other requests."""


def left_to_app(model: ServedModel, project: Contract, settings: Settings) -> str | None:
    """Why the app answers requests for a row of a model; None where the lane does.

    Args:
        model: The model.
        project: The project's contract: it says what a request holds.
        settings: Which store, and the project's hooks.
    """
    hooks = settings.project.own_hooks
    if hooks is not None and hooks.names:
        return f"the project's hooks are called by the app: {', '.join(hooks.names)}"
    if project.forecast is not None or model.contract.forecast is not None:
        return "each row says for when it is asked"
    if not model.contract.window_features:
        return None
    store = settings.features.online_store
    if store != "sqlite":
        return f"window features are read from {store}: other requests would wait meanwhile"
    if not isinstance(model, CompiledModel):
        return "it has window features and no compiled form"
    longest = max(each.lengths[-1] for each in definitions_in(model.contract))
    if longest > LONGEST_WINDOW:
        return f"a window of it has {longest:,} tiles: other requests would wait meanwhile"
    return None


def lane_reader(settings: Settings, metrics: Metrics) -> WindowReader:
    """What the lane looks window features up with; it waits for no lock.

    Args:
        settings: Which file, and how old what it holds may be.
        metrics: Counts what was found; the app counts what the lane leaves to it.
    """
    count = metrics.window_counters()

    def counted(outcome: Outcome) -> None:
        if outcome != "unavailable":
            count[outcome](1)

    chosen = settings.features
    return WindowReader(
        lambda: open_online_store(settings, patience=0),
        parse_ttl(chosen.window_ttl),
        counted,
        msgspec.json.decode,
    )


class EntityRows:
    """Completes decoded rows with the window columns of one model.

    Args:
        reader: Looks them up.
        hidden: The features whose values are not logged.
        contract: The model's.
        order: The features in the order in which the model takes a row's values.

    Attributes:
        sent: Those of them that a request sends, in the same order.
    """

    def __init__(
        self,
        reader: WindowReader,
        hidden: Collection[str],
        contract: Contract,
        order: Sequence[str],
    ) -> None:
        self._reader = reader
        self._columns = columns = WindowColumns.of(contract)
        self.sent = [name for name in order if name not in columns.names]
        given = [*self.sent, *columns.names]
        self._arranged = itemgetter(*(given.index(name) for name in order))
        self._logged_names = [name for name in columns.names if name not in hidden]
        self._logged: dict[type, Any] = {}

    def complete(self, rows: Sequence[DecodedRow], at: datetime) -> list[DecodedRow] | None:
        """The rows as the model takes them and as they are logged; None leaves them to the app.

        Args:
            rows: Each with its entity.
            at: When they are asked.
        """
        entities = [str(row.entity) for row in rows]
        try:
            known = self._reader.look_up(self._columns, entities, at)
        except ProjectError:
            return None
        return [self._complete(row, values) for row, values in zip(rows, known, strict=True)]

    def _complete(self, row: DecodedRow, known: Mapping[str, Any]) -> DecodedRow:
        values = self._arranged((*row.values, *known.values()))
        shown = [known[name] for name in self._logged_names]
        line = self._line_of(type(row.struct))(*astuple(row.struct), *shown)
        return DecodedRow(line, values, row.entity)

    def _line_of(self, row: Any) -> Any:
        """The struct of a logged row, which has the window columns behind the request's."""
        line = self._logged.get(row)
        if line is None:
            fields = [
                *row.__struct_fields__,
                *(f"window_{n}" for n in range(len(self._logged_names))),
            ]
            names = [*row.__struct_encode_fields__, *self._logged_names]
            line = self._logged[row] = defstruct(
                "Logged",
                [(field, Any) for field in fields],
                rename=dict(zip(fields, names, strict=True)),
                gc=False,
            )
        return line
