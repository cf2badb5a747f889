"""The commands that load what `project.py` hands over: `check` and `describe`."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from goldpath.adoption.infer import Adoption

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def check(
    leaks: Annotated[
        bool, typer.Option("--leaks", help="Then look whether later rows change earlier values.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Load what project.py hands over, try it without data, and list it.

    With --leaks: on the lake's rows; exit 1 where later rows change earlier ones, 3 without data.
    """
    from goldpath.contract import load_contract
    from goldpath.jobs.own_definitions import check_all_definitions, for_people
    from goldpath.presentation import show, step
    from goldpath.services.alerting.configuration import unknown_owners
    from goldpath.settings import load_settings, unread_files

    settings = load_settings()
    for sentence in (*unread_files(settings), *unknown_owners(settings)):
        step(sentence)
    contract = load_contract(settings.root)
    definitions = check_all_definitions(settings, contract)
    if not leaks:
        return show(definitions if as_json else for_people(definitions), as_json)
    from goldpath.jobs.data.leaks import check_leaks, show_leaks

    result = check_leaks(settings, contract)
    show_leaks(result, as_json)
    raise typer.Exit(result.exit_code)


def describe(
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if it is not up to date.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write airflow/dags/pipeline.json: the steps, sources and parameters that the DAGs need."""
    from goldpath.contract import load_contract
    from goldpath.jobs.orchestration import require_current, write_description
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings(model="")  # one file describes all models
    contract = load_contract(settings.root, "")
    show((require_current if only_check else write_description)(settings, contract), as_json)


def with_dags_renewed(adoption: "Adoption") -> "Adoption":
    """Tell Airflow's DAGs of a contract or a source that was just written, and say so."""
    from goldpath.contract import load_contract
    from goldpath.jobs.orchestration import renew_description
    from goldpath.settings import load_settings

    settings = load_settings(model="")
    said = renew_description(settings, load_contract(settings.root, ""))
    return replace(adoption, notes=(*adoption.notes, said)) if said else adoption
