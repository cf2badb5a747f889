"""The command that adds a further source."""

from typing import Annotated

import typer

from goldpath.cli.definitions import with_dags_renewed

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def add_source(
    name: Annotated[str, typer.Option(help="Names the source, its file and its tables.")],
    data: Annotated[
        str, typer.Option(help="A file, a folder, an S3 prefix (s3://…) or a SQL query.")
    ],
    entity: Annotated[
        str, typer.Option("--id", help="Column with the main table's subject, whatever its name.")
    ],
    time: Annotated[
        str, typer.Option(help="Column with the date or time; date+hour joins two.")
    ] = "",
    key: Annotated[
        str | None,
        typer.Option(help="Column that tells rows apart: a row delivered again replaces its own."),
    ] = None,
    url_variable: Annotated[
        str | None,
        typer.Option(help="Variable with a query's database; MLOPS_SOURCE_URL if not given."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--as", help="COLUMN=thousands, decimals, number, category or ignored; repeatable."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a table of the same subjects, such as payments: write config/sources/NAME.yaml."""
    from goldpath.adoption.answers import parse_answers
    from goldpath.contract import load_contract
    from goldpath.jobs.data.source_adoption import add_source as infer_and_write
    from goldpath.presentation import show_adoption
    from goldpath.settings import load_settings

    settings = load_settings()
    contract = load_contract(settings.root)
    answers = parse_answers(column or ())
    added = infer_and_write(
        settings, contract, name, data, entity, time, key, url_variable, answers
    )
    show_adoption(with_dags_renewed(added), as_json, following="make data")
