"""The contract that a model learns with: what a request sends, and the project's own features.

Window features come first, from the further sources; row features may read their columns.
"""

from collections.abc import Sequence

from goldpath.contract import Contract
from goldpath.features.row.learned import with_rows
from goldpath.features.window.learned import with_windows
from goldpath.project import Project
from goldpath.settings import Settings
from goldpath.source_contract import SourceContract, load_sources


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
    has_windows = bool(project.for_dataset(contract.dataset).window_features)
    sources = load_sources(settings.root, contract.dataset) if has_windows else ()
    return with_own_features(contract, project, sources)


def with_own_features(
    contract: Contract, project: Project, sources: Sequence[SourceContract] = ()
) -> Contract:
    """The contract with the project's window and row features behind those of the request.

    Args:
        contract: Of the request, as `config/project.yaml` has it.
        project: Its features count where they are written for this dataset.
        sources: The further sources.

    Raises:
        ProjectDefinitionError: If a feature cannot be used; names file, line and path.
    """
    own = project.for_dataset(contract.dataset)
    if not own.own_features:
        return contract
    known = with_windows(contract.request, own.window_features, sources)
    return with_rows(known, own.row_features)


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
