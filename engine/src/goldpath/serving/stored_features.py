"""The rows that a body asks for: sent as they are, or by entity key from what is stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.serving import OnlineFeatures, OnlineReader
from goldpath.features.views import has_views
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import shown
from goldpath.serving.schemas import KeyedRequest, feature_rows, keyed_requests
from goldpath.settings import Settings


def predicts_by_key(contract: Contract) -> bool:
    """Whether a request may name an entity: there is one, and its name is free in the body."""
    return has_views(contract) and contract.entity not in ("features", "instances")


class StoredFeatures:
    """The online store, as the service asks it.

    Args:
        settings: Which store.
        contract: What a row must be.
        row: The request model of one row.
    """

    def __init__(self, settings: Settings, contract: Contract, row: type[BaseModel]) -> None:
        self._settings = settings
        self._contract = contract
        self._row = row

    @cached_property
    def _reader(self) -> OnlineReader:
        # Opened by the first request: the service comes up without a store.
        return OnlineReader(self._settings, self._contract)

    def rows(
        self, requests: Sequence[KeyedRequest], *, may_be_unknown: bool = False
    ) -> list[dict[str, Any]]:
        """The features of some entities, in their order; all that must be read is read at once.

        Of a forecast nothing is read: each row is about a time of its own.

        Args:
            requests: Each names one, and may hold features that count before the stored ones.
            may_be_unknown: Whether the features of a request are enough where they are complete:
                the key is there for what else is looked up by it.

        Raises:
            ProblemError: 404 where the store does not know an entity, 409 where what it knows is
                too old or breaks the contract, 503 where there is no store or it does not answer.
        """
        named = self._contract.by_name
        if self._contract.forecast is not None:
            # The view's newest row is of another time; the request model asks for what must be
            # there, so that only nullable features are left out here.
            return [{**dict.fromkeys(named), **each.features} for each in requests]
        rows = [dict(each.features) for each in requests]
        asked = [
            place
            for place, row in enumerate(rows)
            if not may_be_unknown or not named.keys() <= row.keys()
        ]
        if not asked:
            return rows
        try:
            found = self._reader.get([requests[place].entity for place in asked])
        except ProjectError as error:
            raise ProblemError(503, error.message, error.fix) from error
        for place, stored in zip(asked, found, strict=True):
            rows[place] = self._row_of(requests[place], stored, may_be_unknown=may_be_unknown)
        return rows

    def _row_of(
        self, request: KeyedRequest, stored: OnlineFeatures, *, may_be_unknown: bool
    ) -> dict[str, Any]:
        if not stored.found:
            missing = self._missing(request)
            if missing or not may_be_unknown:
                raise self._unknown(request, missing)
            return self._row.model_validate(request.features).model_dump(by_alias=True)
        named = self._contract.by_name
        known = {name: value for name, value in stored.values.items() if name in named}
        try:
            checked = self._row.model_validate({**known, **request.features})
        except ValidationError as error:
            raise self._unfit(request, stored, error) from error
        return checked.model_dump(by_alias=True)

    def _missing(self, request: KeyedRequest) -> list[str]:
        """What a request without a key would have to send as well."""
        return [
            feature.name
            for feature in self._contract.features
            if not feature.nullable and feature.name not in request.features
        ]

    def _unknown(self, request: KeyedRequest, missing: Sequence[str]) -> ProblemError:
        message = f"the online store knows no {self._name(request)}"
        if not request.features or not missing:
            return ProblemError(404, message, "make materialize, or send its features")
        return ProblemError(
            404,
            shown(f"{message}, and its `features` lack {', '.join(missing)}"),
            "send these as well, or make materialize",
        )

    def _unfit(
        self, request: KeyedRequest, stored: OnlineFeatures, error: ValidationError
    ) -> ProblemError:
        wrong = ", ".join(dict.fromkeys(str(each["loc"][0]) for each in error.errors()))
        why = "are older than their ttl" if stored.expired else "do not fulfil the contract"
        return ProblemError(
            409,
            shown(f"the stored features of {self._name(request)} {why}: {wrong}"),
            "make data materialize, or send these values in `features`",
        )

    def _name(self, request: KeyedRequest) -> str:
        return shown(f'{self._contract.entity} "{request.entity}"')


@dataclass(frozen=True)
class Asked:
    """The rows of one request.

    Attributes:
        rows: Each by feature name, as the contract allows it.
        entities: Whom each row is about; None where the request does not say.
        sent: The features that the caller sent of each row.
    """

    rows: list[dict[str, Any]]
    entities: list[str] | None
    sent: Sequence[frozenset[str]]


class AskedRows:
    """Reads the rows of checked bodies.

    Args:
        stored: The online store's features; None where no request names an entity.
    """

    def __init__(self, stored: StoredFeatures | None) -> None:
        self._stored = stored

    def of(self, body: BaseModel, looks_up: Callable[[], bool]) -> Asked:
        """The rows of a body.

        Args:
            body: Of one of the forms of `RequestModels`.
            looks_up: Whether the model takes what is known of the entities, beside their features.

        Raises:
            ProblemError: See `StoredFeatures.rows`.
        """
        requests = keyed_requests(body) if self._stored else None
        if self._stored is None or requests is None:
            rows = feature_rows(body)
            return Asked(rows, None, [frozenset(row) for row in rows])
        return Asked(
            self._stored.rows(requests, may_be_unknown=looks_up()),
            [each.entity for each in requests],
            [frozenset(each.features) for each in requests],
        )
