"""Promotion: a candidate becomes champion only if every check of the gate passes."""

import json
from dataclasses import asdict, dataclass

from ..contract import Contract
from ..data.connection import open_lakehouse
from ..data.gold_frame import read_gold
from ..errors import CheckFailedError, ProjectError
from ..model.evaluation import baseline_model
from ..model.frames import target_values
from ..model.metrics import bootstrap_score, metric_value
from ..model.mlflow_manager import CHAMPION, MLflowManager, RegistryError
from ..model.scoring import LoadedModel, ModelVersion
from ..model.splitting import Split, split_rows
from ..model.validation import (
    GateCheck,
    check_baseline,
    check_champion,
    check_predictions,
    check_test_rows,
)
from ..presentation import step
from ..reports import write_report
from ..settings import Settings
from .training import SNAPSHOT_TAG


@dataclass(frozen=True)
class PromotionResult:
    """What the gate said, check by check."""

    model: str
    model_version: str
    promoted: bool
    previous_champion: str | None
    checks: dict[str, str]


def promote(settings: Settings, contract: Contract, version: str | None = None) -> PromotionResult:
    """Judge a candidate beside the champion on its test rows; move the alias if all checks pass.

    Args:
        settings: Its `training` section holds the gate's limits.
        contract: Names the registered model.
        version: The candidate; the newest version where not given.

    Raises:
        RegistryError: Where there is no candidate.
        CheckFailedError: Where a check says no; the champion stays.
    """
    manager = MLflowManager(settings, contract)
    candidate = manager.version(version) if version else manager.newest_version()
    if candidate is None:
        raise RegistryError(
            f"there is no version of {contract.model_name} to promote", "make train-local"
        )
    champion = manager.champion_version()
    if champion is not None and champion.version == candidate.version:
        step(f"version {candidate.version} is the champion already")
        return PromotionResult(contract.model_name, candidate.version, True, champion.version, {})

    rival = f"version {champion.version}" if champion else "the baseline"
    step(f"gate: version {candidate.version} against {rival} on the same test rows")
    checks = run_gate(settings, manager, candidate, champion)
    result = PromotionResult(
        model=contract.model_name,
        model_version=candidate.version,
        promoted=all(check.passed for check in checks),
        previous_champion=champion.version if champion else None,
        checks={
            check.name: f"{'pass' if check.passed else 'FAIL'}: {check.detail}" for check in checks
        },
    )
    manager.tag_version(
        candidate.version,
        {
            "gate": "passed" if result.promoted else "refused",
            "gate_checks": json.dumps(result.checks),
        },
    )
    write_report(settings.reports / "promotion.json", asdict(result))
    if not result.promoted:
        failed = "; ".join(f"{check.name} ({check.detail})" for check in checks if not check.passed)
        raise CheckFailedError(
            f"the gate refused version {candidate.version} of {contract.model_name}: {failed}",
            f"the {CHAMPION} alias was not moved; bring more data or trials (docs/training.md)",
        )
    manager.set_champion(candidate.version)
    return result


def run_gate(
    settings: Settings,
    manager: MLflowManager,
    candidate: ModelVersion,
    champion: ModelVersion | None,
) -> list[GateCheck]:
    """Every check, on the test rows of the snapshot that the candidate was trained on."""
    limits = settings.training
    model = manager.load(candidate)
    contract = model.contract
    rows = read_gold(open_lakehouse(settings), contract, int(candidate.tags[SNAPSHOT_TAG]))
    split = split_rows(rows, contract, limits)
    truth = target_values(split.test, contract)
    predictions = model.predict(split.test)
    score = bootstrap_score(contract, truth, predictions, limits.bootstrap_samples, limits.seed)
    baseline = metric_value(
        contract, truth, baseline_model(split.train, contract).predict(split.test)
    )
    checks = [
        check_test_rows(len(split.test), limits),
        check_predictions(predictions),
        check_baseline(score, baseline),
    ]
    if champion is not None:
        checks.append(_compare(settings, manager, champion, model, split))
    return checks


def _compare(
    settings: Settings,
    manager: MLflowManager,
    champion: ModelVersion,
    candidate: LoadedModel,
    split: Split,
) -> GateCheck:
    """Both on the same rows; a champion that cannot score them blocks the gate."""
    try:
        rival = manager.load(champion)
        theirs = rival.predict(split.test)
    except (ProjectError, KeyError, ValueError) as error:
        return GateCheck(
            "not worse than the champion",
            passed=False,
            detail=f"version {champion.version} cannot score these rows ({error}); "
            "data of another kind needs another `dataset` name in config/project.yaml",
        )
    truth = target_values(split.test, candidate.contract)
    return check_champion(
        candidate.contract, truth, candidate.predict(split.test), theirs, settings.training
    )
