"""The contract that a model learns with: what a request sends, and the project's own features.

Window features come first, from the further sources; row features may read their columns.
"""

from collections.abc import Sequence

from goldpath.contract import Contract
from goldpath.features.row.learned import with_rows
from goldpath.features.window.lags import OWN_TABLE
from goldpath.features.window.learned import with_windows
from goldpath.handed_over import ProjectDefinitionError
from goldpath.project import Project
from goldpath.settings import Settings
from goldpath.source_contract import SourceContract, load_sources

OF_OTHERS = (
    "; or name the features of the model {0} in project.py without it: "
    'models={{…, "{0}": lambda: Model(features=[…])}}'
)


def learned_contract(settings: Settings, contract: Contract) -> Contract:
    """The contract with the features of the settings' project.

    Args:
        settings: Names the project, and where `config/sources` is.
        contract: Of the request, as `config/project.yaml` has it.

    Raises:
        ContractError: If a file of `config/sources` is wrong and window features need it.
        ProjectDefinitionError: If a feature cannot be used; names file, line and path.
    """
    project = settings.project
    own = project.for_dataset(contract.base).window_features
    has_windows = any(
        each.source not in (OWN_TABLE, contract.dataset, contract.base) for each in own
    )
    sources = load_sources(settings.root, contract.base) if has_windows else ()
    return with_own_features(contract, project, sources)


def with_own_features(
    contract: Contract, project: Project, sources: Sequence[SourceContract] = ()
) -> Contract:
    """The contract with the project's window and row features behind those of the request.

    Before them stand the lags and means that the contract's `forecast` names.

    Args:
        contract: Of the request, as `config/project.yaml` has it.
        project: Its features count where they are written for this dataset.
        sources: The further sources.

    Raises:
        ProjectDefinitionError: If a feature cannot be used; names file, line and path.
    """
    own = project.for_dataset(contract.base)
    if not own.own_features and contract.forecast is None:
        return contract
    try:
        known = with_windows(contract.request, own.window_features, sources)
        return with_rows(known, own.row_features)
    except ProjectDefinitionError as error:
        if contract.model:
            error.fix += OF_OTHERS.format(contract.model)
        raise


def changed_features(before: Contract, after: Contract) -> tuple[str, ...]:
    """What differs between the computed features of two contracts, as sentences."""
    old, new = (
        {each.name: (each.expression, each.window) for each in contract.computed_features}
        for contract in (before, after)
    )
    return (
        *(f"{name} is new" for name in new if name not in old),
        *(f"{name} is gone" for name in old if name not in new),
        *(f"{name} has another formula" for name in new if name in old and new[name] != old[name]),
    )
