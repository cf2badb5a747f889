"""Rows for `/predict` by entity key: stored features, and those that the caller knows better."""

from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.serving import OnlineFeatures, OnlineReader
from goldpath.features.views import has_views
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import shown
from goldpath.serving.schemas import KeyedRequest
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

    def row(self, request: KeyedRequest, *, may_be_unknown: bool = False) -> dict[str, Any]:
        """The features of one entity.

        Args:
            request: Names it, and may hold features that count before the stored ones.
            may_be_unknown: Whether the features of the request are enough where they are complete:
                the key is there for what else is looked up by it.

        Raises:
            ProblemError: 404 where the store does not know the entity, 409 where what it knows is
                too old or breaks the contract, 503 where there is no store or it does not answer.
        """
        named = self._contract.by_name
        if may_be_unknown and named.keys() <= request.features.keys():
            return dict(request.features)
        try:
            stored = self._reader.get([request.entity])[0]
        except ProjectError as error:
            raise ProblemError(503, error.message, error.fix) from error
        if not stored.found and may_be_unknown and self._is_complete(request):
            return self._row.model_validate(request.features).model_dump(by_alias=True)
        if not stored.found:
            raise ProblemError(
                404,
                f"the online store knows no {self._name(request)}",
                "make materialize, or send its features",
            )
        known = {name: value for name, value in stored.values.items() if name in named}
        try:
            checked = self._row.model_validate({**known, **request.features})
        except ValidationError as error:
            raise self._unfit(request, stored, error) from error
        return checked.model_dump(by_alias=True)

    def _is_complete(self, request: KeyedRequest) -> bool:
        """Whether nothing is missing that a request without a key would have to send."""
        return all(
            feature.nullable or feature.name in request.features
            for feature in self._contract.features
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
