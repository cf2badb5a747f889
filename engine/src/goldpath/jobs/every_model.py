"""The same work for every model of the project; the error of one keeps no other from it."""

from collections.abc import Callable
from typing import TypeVar

from goldpath.contract import Contract, load_contract
from goldpath.errors import ProjectError
from goldpath.models.folders import further_models, with_model
from goldpath.models.main_contract import require_apart
from goldpath.presentation import step
from goldpath.settings import Settings, further_settings, load_settings
from goldpath.source_contract import load_sources

Result = TypeVar("Result")


def further_contracts(settings: Settings) -> list[tuple[Settings, Contract]]:
    """Settings and contract of each further model of a main one.

    Raises:
        ProjectError: If a model's files cannot be used; names them.
    """
    return [(each, load_contract(each.root, each.model)) for each in further_settings(settings)]


def for_every_model(
    settings: Settings, contract: Contract, work: Callable[[Settings, Contract], Result]
) -> dict[str, Result]:
    """Do the work for the given model, and then for each further one of a main model.

    Args:
        settings: Those of the main model; with those of a further one: of that one alone.
        contract: Its contract.
        work: Called with each model's settings and contract.

    Returns:
        What it returned, by the model's name; the main one's is empty.

    Raises:
        ContractError: If two models, or a model and a source, have the same tables; nothing is done
            then.
        ProjectError: The first model's error, after the work of the others; names those that have
            one, too.
    """
    models, failed, done = [(settings, contract)], {}, {}
    for name in () if settings.model else further_models(settings.root):
        try:
            own = load_settings(settings.root, settings.whole_project, name)
            models.append((own, load_contract(settings.root, name)))
        except ProjectError as error:
            failed[name] = error
    require_apart([each for _, each in models], load_sources(settings.root))
    for own, its_contract in models:
        if own is not settings:
            step(f"model {own.model}: the same for its tables")
        try:
            done[own.model] = work(own, its_contract)
        except ProjectError as error:
            failed[own.model] = error
            if len(models) > 1:
                step(f"{_called(own.model)}: {error.message}")
    if failed:
        _raise_first(failed, settings)
    return done


def _raise_first(failed: dict[str, ProjectError], settings: Settings) -> None:
    (name, first), *others = sorted(failed.items())
    if name != settings.model:
        first.message = f"{_called(name)}: {first.message}"
        first.fix = with_model(first.fix, name)
    if others:
        first.message += f"; {len(others)} more failed: {', '.join(each for each, _ in others)}"
    raise first


def _called(name: str) -> str:
    return f"model {name}" if name else "the main model"
