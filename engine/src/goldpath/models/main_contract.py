"""What a further model's contract takes from the main one, and the source that both read."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from goldpath.models.folders import contract_file
from goldpath.overlay import SOURCE, overlay_file, read_overlay
from goldpath.raw_source import Source
from goldpath.row_contract import LAYERS, ContractError, RowContract

NOTHING: Mapping[str, str] = {}
OF_A_FOLDER = {"model": "", "main": ""}
"""Keys that no file says: a further model is known by its folder."""
SHARED = ("source", "entity", "entity_repeats", "event_time")
"""What a further model cannot say: which rows there are, and whose."""
INHERITED = ("problem", "forecast", "features", "ignored", "personal", "fairness_groups")
"""What a further model need not say where it is the main model's."""


def shared_with(main: RowContract, name: str) -> dict[str, Any]:
    """The keys that a further model's file does not hold."""
    return {**{key: getattr(main, key) for key in SHARED}, "model": name, "main": main.dataset}


def inherited_from(main: RowContract, name: str) -> dict[str, Any]:
    """The keys that a further model's file may leave out."""
    values = {key: getattr(main, key) for key in INHERITED}
    return {**values, "dataset": f"{main.dataset}_{name}"[:63]}


def how_to_restore(shown: str) -> str:
    """What to do where a contract's file is missing."""
    folder, _, _ = shown.rpartition("/")
    name = folder.rpartition("/")[2]
    if shown != contract_file(name):
        return "restore it from git, or run: make adopt DATA=… TARGET=…"
    return (
        f"restore it from git, run make add-model NAME={name} TARGET=…, or delete the folder "
        f"{folder}"
    )


def require_own_dataset(contract: RowContract, main: RowContract, name: str) -> None:
    """Refuse tables and versions in which two models would mix, or that no command could name.

    Raises:
        ContractError: If the dataset is the main model's, or a layer's name.
    """
    if contract.dataset == main.dataset:
        raise ContractError(
            f"dataset: {main.dataset} names the tables of the main model",
            f"take the key dataset out of {contract_file(name)}, or give it another name",
        )
    if contract.dataset in LAYERS:
        raise ContractError(
            f"dataset: {contract.dataset} is reserved: commands read it as a layer of the lake",
            f"write another dataset in {contract_file(name)}",
        )


def require_apart(models: Iterable[RowContract], sources: Iterable[RowContract]) -> None:
    """Refuse models, and further sources, that would write to the same tables.

    Raises:
        ContractError: If two have one dataset; names both files.
    """
    files: dict[str, str] = {}
    for contract in models:
        if other := files.get(contract.dataset):
            raise ContractError(
                f"{other} and {contract.file} have the same dataset: {contract.dataset}",
                f"give one of them another: dataset in {contract.file}",
            )
        files[contract.dataset] = contract.file
    for source in sources:
        if other := files.get(source.dataset):
            raise ContractError(
                f"{other} and {source.file} would write to the same tables: {source.dataset}",
                f"rename {source.file}, or give the model another name: dataset in {other}",
            )


def source_of_environment(source: Source, root: Path) -> Source:
    """The source that this environment's file gives the contract; else its own.

    Raises:
        ContractError: If that is no source; names the file.
    """
    changed = read_overlay(root).get(SOURCE)
    if not changed:
        return source
    values = source.model_dump(exclude_defaults=True)
    if {"path", "query"} & changed.keys():  # one takes the other's place
        values = {name: each for name, each in values.items() if name not in ("path", "query")}
    try:
        return Source.model_validate(values | changed)
    except ValidationError as error:
        lines = [f"{'.'.join([SOURCE, *map(str, e['loc'])])}: {e['msg']}" for e in error.errors()]
        raise ContractError(
            f"{overlay_file()}: {'; '.join(lines)}", f"correct the key in {overlay_file()}"
        ) from error
