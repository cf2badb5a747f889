"""The sixth stage of training: staging alias, smoke test against a real server, then champion."""

import json
import math
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from goldpath.contract import EVENT_TIME, Contract, parse_contract
from goldpath.domain import PYTHON_TYPES
from goldpath.errors import CheckFailedError
from goldpath.features.online.open_store import as_model
from goldpath.features.online.sqlite import SqliteOnlineStore
from goldpath.features.window.learned import definitions_in, values_of_nobody
from goldpath.features.window.online import declare_empty
from goldpath.jobs.promotion.promote import PromotionResult, promote
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import read_gold
from goldpath.learning.scoring import LoadedModel, ModelVersion, Predictions
from goldpath.presentation import step
from goldpath.registry.layout import CONTRACT_FILE, SNAPSHOT_TAG
from goldpath.registry.mlflow_manager import STAGING, MLflowManager, RegistryError
from goldpath.reports import write_report
from goldpath.serving.process.loopback import LoopbackError, LoopbackService, loopback_service
from goldpath.serving.schemas import example_row
from goldpath.settings import Settings

SMOKE_ROWS = 20
SMOKE_FILE = "smoke.json"
TOLERANCE = 1e-9


@dataclass(frozen=True)
class SmokeTest:
    """What the service said about a candidate.

    Attributes:
        model_version: The candidate.
        rows: Rows that were sent, alone and together.
        largest_difference: Between the service's score and the model's own.
    """

    model_version: str
    rows: int
    largest_difference: float


def deploy(settings: Settings, contract: Contract, version: str | None = None) -> PromotionResult:
    """Try a candidate behind HTTP under the alias `staging`; where it answers right, promote it.

    Args:
        settings: Where the registry is, and the gate's limits.
        contract: Names the registered model.
        version: The candidate; the newest version where not given.

    Raises:
        RegistryError: If there is no candidate.
        CheckFailedError: If the service answers wrongly, the gate says no, or the segments of a
            clustering are others than the champion's, which a person promotes.
    """
    manager = MLflowManager(settings, contract)
    candidate = manager.version(version) if version else manager.newest_version()
    if candidate is None:
        raise RegistryError(
            f"there is no version of {contract.model_name} to deploy", "make train-local"
        )
    champion = manager.champion_version()
    if champion is None or champion.version != candidate.version:
        step(f"deploy: version {candidate.version} behind HTTP as {STAGING}")
        manager.set_alias(STAGING, candidate.version)
        smoke = asdict(smoke_test(settings, contract, manager, candidate))
        write_report(settings.reports / SMOKE_FILE, smoke)
        manager.tag_version(candidate.version, {"smoke_test": json.dumps(smoke)})
    if champion is not None and not contract.has_target:
        require_same_segments(manager, champion, candidate)
    result = promote(settings, contract, candidate.version)
    staged = manager.version_by_alias(STAGING)
    if staged is not None and staged.version == candidate.version:
        manager.remove_alias(STAGING)  # it has left staging
    return result


def require_same_segments(
    manager: MLflowManager, champion: ModelVersion, candidate: ModelVersion
) -> None:
    """Refuse to replace segments that callers know by others without a person's decision.

    Raises:
        CheckFailedError: If segments are new, gone or called otherwise; says which.
    """
    before, after = (_segments_of(manager, each) for each in (champion, candidate))
    if not before or not after or before == after:
        return
    renamed = [
        f"{before[number]} is called {after[number]}"
        for number in before
        if number in after and before[number] != after[number]
    ]
    new = [f"{after[number]} is new" for number in after if number not in before]
    gone = [f"{before[number]} is gone" for number in before if number not in after]
    raise CheckFailedError(
        f"version {candidate.version} of {candidate.name} stays a candidate: its segments are not "
        f"those of the champion, version {champion.version}: {'; '.join([*gone, *new, *renamed])}",
        "whoever uses the answers has to know it first; look at reports/segments.html, then "
        f"promote it by hand: promote --version {candidate.version}",
    )


def _segments_of(manager: MLflowManager, version: ModelVersion) -> Mapping[int, str]:
    try:
        text = manager.read_text(version.run_id, CONTRACT_FILE)
        return parse_contract(text).segments or {}
    except (RegistryError, OSError):
        return {}  # of a model that was trained elsewhere nothing is known


def smoke_test(
    settings: Settings, contract: Contract, manager: MLflowManager, candidate: ModelVersion
) -> SmokeTest:
    """Ask a real server for rows of the candidate's snapshot, and compare with the model itself.

    Raises:
        CheckFailedError: If the server does not come up with this version, or answers wrongly.
    """
    model = manager.load(candidate)
    snapshot = int(candidate.tags[SNAPSHOT_TAG])
    rows = read_gold(open_lakehouse(settings), model.contract, snapshot).tail(SMOKE_ROWS)
    instances = _json_features(rows, model.contract)
    ahead = example_row(model.contract)
    times = {EVENT_TIME: ahead[EVENT_TIME]} if model.contract.forecast else {}
    # Of nobody's windows: the online store holds those of now, and gold those of each row's time.
    definitions = definitions_in(model.contract)
    has_owners = any(each.entity for each in definitions)
    nobody = f"smoke-test-{secrets.token_hex(8)}" if has_owners else None
    # Trial predictions have no place in the log from which drift is computed.
    with tempfile.TemporaryDirectory(prefix="smoke-") as folder:
        variables = {
            "MLOPS_SERVING__ALIAS": STAGING,
            "MLOPS_SERVING__PREDICTION_LOG": folder,
        }
        if definitions:
            variables |= _empty_store(settings, Path(folder) / "online.db", model.contract)
        try:
            with loopback_service(settings, "smoke", variables) as service:
                return _compare(service, model, candidate, instances, nobody, times)
        except LoopbackError as error:
            raise CheckFailedError(
                f"version {candidate.version} of {contract.model_name} failed its smoke test: "
                f"{error.message}",
                f"the champion was not touched; {error.fix}",
            ) from error


def _empty_store(settings: Settings, file: Path, contract: Contract) -> dict[str, str]:
    """An online store that knows nobody, and the variables that name it."""
    now = datetime.now(UTC).replace(tzinfo=None)
    declare_empty(as_model(settings, SqliteOnlineStore(file)), definitions_in(contract), now)
    return {"MLOPS_FEATURES__ONLINE_STORE": "sqlite", "MLOPS_FEATURES__URL": str(file)}


def _compare(
    service: LoopbackService,
    model: LoadedModel,
    candidate: ModelVersion,
    instances: list[dict[str, Any]],
    entity: str | None,
    times: Mapping[str, str],
) -> SmokeTest:
    key = {} if entity is None else {str(model.contract.entity): entity}
    sent = [{**times, **features} for features in instances]
    alone = [service.post("/predict", {**key, "features": features}) for features in sent]
    if entity is None:
        together = service.post("/predict/batch", {"instances": sent})
    else:  # a batch names no entities
        together = {"model_version": candidate.version, "predictions": alone}
    served = {str(answer["model_version"]) for answer in (together, *alone)}
    if served != {candidate.version}:
        raise LoopbackError(
            f"version {', '.join(sorted(served))} answered instead of {candidate.version}",
            "another process moved the alias staging; run the command again",
        )
    known = values_of_nobody(model.contract)
    expected = model.predict([{**row, **known} for row in instances])
    largest = 0.0
    for position, (row, batch_row) in enumerate(zip(alone, together["predictions"], strict=True)):
        for answer in (row, batch_row):
            largest = max(largest, _difference(model, expected, position, answer))
    if largest > TOLERANCE:
        raise LoopbackError(
            f"the service's predictions differ from the model's by up to {largest:.3g}",
            f"compare reports and {service.log}",
        )
    return SmokeTest(candidate.version, len(instances), largest)


def _difference(
    model: LoadedModel, expected: Predictions, position: int, answer: Mapping[str, Any]
) -> float:
    """How far an answer is from the model's own, relative to a value; infinity for a label."""
    if model.contract.problem == "regression":
        value = float(expected.scores[position])
        return abs(float(answer["prediction"]) - value) / max(1.0, abs(value))
    if answer["prediction"] != expected.values[position] or expected.probabilities is None:
        return math.inf
    ours = dict(zip(model.contract.target.classes, expected.probabilities[position], strict=True))
    return max(abs(float(answer["probabilities"][label]) - float(p)) for label, p in ours.items())


def _json_features(rows: pd.DataFrame, contract: Contract) -> list[dict[str, Any]]:
    """Rows as a client would send them."""
    return [
        {
            feature.name: None
            if pd.isna(row[feature.name])
            else PYTHON_TYPES[feature.type](row[feature.name])
            for feature in contract.request.features
        }
        for row in rows.to_dict("records")
    ]
