"""The commands that bring tables: the sample, further sources, and models of the same rows."""

from pathlib import Path
from typing import Annotated

import typer

from goldpath.cli.definitions import with_dags_renewed

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
# The answers to what `adopt`, `add-model` and `add-source` ask.
Problem = Annotated[str | None, typer.Option(help="classification or regression.")]
AnyProblem = Annotated[
    str | None,
    typer.Option(help="classification or regression; clustering: segments, without a target."),
]
ColumnRoles = Annotated[
    list[str] | None,
    typer.Option(
        "--as", help="COLUMN=thousands, decimals, number, category, text or ignored; repeatable."
    ),
]
Labels = Annotated[
    list[str] | None, typer.Option(help="A word such as NA that is a class of the target.")
]
MissingLabels = Annotated[
    list[str] | None, typer.Option(help="A word of the target that means a missing label.")
]
JoinLabels = Annotated[
    bool, typer.Option("--join-labels", help="Spellings such as No and NO are one class.")
]


def sample(
    rows: Annotated[int, typer.Option(min=100, help="Customers to generate.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Same seed, same file.")] = 7,
    drift: Annotated[
        list[str] | None,
        typer.Option(help="Shift a numeric feature by standard deviations: monthly_charges=1.5"),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="CSV file to write.")] = None,
    history: Annotated[
        bool | None,
        typer.Option(
            help="What they paid and asked, in payments/ and tickets/ beside it; with --output only"
            " if it is asked for."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Generate the sample: customers who churn, with gaps, duplicates and bad rows."""
    from goldpath.jobs.data.bronze import SAMPLE
    from goldpath.presentation import show
    from goldpath.sample.customers import parse_drift, write_sample
    from goldpath.settings import project_root

    shift = parse_drift(drift or [])
    # Another file of the same seed is of the same customers: their payments are there already.
    file = project_root() / (output or SAMPLE)
    has_history = file == project_root() / SAMPLE if history is None else history
    result = write_sample(file, rows, seed, shift, history=has_history)
    show(result, as_json)


def adopt(
    data: Annotated[Path, typer.Option(help="CSV or Parquet file.")],
    target: Annotated[
        str, typer.Option(help="Column to predict; event:SOURCE: does the subject get a row there?")
    ] = "",
    entity: Annotated[
        str | None, typer.Option("--id", help="Column that identifies a row's subject.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Column with the date or time; date+hour joins two.")
    ] = None,
    problem: AnyProblem = None,
    horizon: Annotated[
        str | None,
        typer.Option(help="A series: how long before its time a row is asked for."),
    ] = None,
    within: Annotated[
        str | None, typer.Option(help="Of an event: how soon after the row's time, such as 30d.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Of an event: COLUMN=VALUE of its rows; repeatable.")
    ] = None,
    exclude_after_event: Annotated[
        bool, typer.Option("--exclude-after-event", help="Of an event: leave out rows after it.")
    ] = False,
    column: ColumnRoles = None,
    label: Labels = None,
    missing: MissingLabels = None,
    join_labels: JoinLabels = False,
    as_json: Json = False,
) -> None:
    """Use your own data: infer the contract from a file and write config/project.yaml."""
    from goldpath.adoption.answers import parse_answers
    from goldpath.adoption.target_role import parse_event
    from goldpath.jobs.data.adoption import adopt_file, event_texts
    from goldpath.presentation import show_adoption
    from goldpath.settings import load_settings

    answers = parse_answers(column or (), label or (), missing or (), join_labels=join_labels)
    settings = load_settings()
    event = parse_event(
        target,
        within or None,
        where or (),
        exclude=exclude_after_event,
        as_text=event_texts(settings.root, target),
    )
    adopted = adopt_file(settings, data, target, entity, time, problem, answers, horizon, event)
    show_adoption(with_dags_renewed(adopted), as_json)


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
    column: ColumnRoles = None,
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


def add_model(
    name: Annotated[str, typer.Option(help="Names the model, its folder and its tables.")],
    target: Annotated[str, typer.Option(help="Column to predict; of a clustering none.")] = "",
    problem: Problem = None,
    column: ColumnRoles = None,
    label: Labels = None,
    missing: MissingLabels = None,
    join_labels: JoinLabels = False,
    as_json: Json = False,
) -> None:
    """Add a model of the same rows, such as revenue: write models/NAME/project.yaml."""
    from goldpath.adoption.answers import parse_answers
    from goldpath.jobs.models.addition import add_model as infer_and_write
    from goldpath.jobs.models.addition import newly_decided
    from goldpath.presentation import show_adoption
    from goldpath.settings import load_settings

    answers = parse_answers(column or (), label or (), missing or (), join_labels=join_labels)
    added = infer_and_write(load_settings(model=""), name, target, problem, answers)
    following = f"make data MODEL={name}, make train-local MODEL={name}, make serve"
    added = with_dags_renewed(added)
    show_adoption(added if as_json else newly_decided(added), as_json, following=following)
