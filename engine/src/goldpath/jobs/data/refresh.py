"""Bronze, silver, gold: from the sources to the table that models are trained on."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from goldpath.contract import Contract, ContractError
from goldpath.errors import ProjectError
from goldpath.features.event_labels import NO_EVENTS, event_source
from goldpath.features.learned import learned_contract
from goldpath.features.window.learned import definitions_in, reads_own_table
from goldpath.jobs.data.bronze import (
    Delivery,
    Supply,
    find_supply,
    generate_sample,
    ingest,
    one_ingestion,
)
from goldpath.jobs.data.gold import publish
from goldpath.jobs.data.intervals import (
    PendingInterval,
    Period,
    keep_intervals_in_step,
    own_account,
    pending_intervals,
    say_intervals,
    silver_record,
    together,
)
from goldpath.jobs.data.recipes import recipes_digest
from goldpath.jobs.data.silver import IntervalCounts, commonest_reasons, current_rows, refine
from goldpath.jobs.data.source_tables import (
    SourceFaults,
    SourceResult,
    find_source_supply,
    ingest_source,
    noted_faults,
    refresh_source,
)
from goldpath.jobs.every_model import for_every_model, further_contracts
from goldpath.jobs.labels.label_events import (
    LabelCounts,
    LabelEvents,
    count_labels,
    label_events,
    say_labels,
)
from goldpath.jobs.windows.window_rows import (
    WindowSources,
    of_interval,
    rows_reached,
    window_sources,
)
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Partitions
from goldpath.lake.run_log import (
    is_same_contract,
    latest_by_subject,
    read_records,
    write_records,
)
from goldpath.lake.tables import INTERVAL, gold_table, silver_table
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.privacy.suppression import SuppressionList
from goldpath.project import Data
from goldpath.settings import Settings
from goldpath.source_contract import SourceContract, load_sources, unused_parts


@dataclass(frozen=True)
class DataResult:
    """Every row of bronze, accounted for.

    Attributes:
        source: What was read.
        new_batches: Files that bronze did not hold yet.
        recomputed: The intervals that were made anew.
        bronze_rows: Rows that silver is made from.
        silver_rows: Rows that fulfil the contract, one for each entity and event time.
        quarantined_rows: Rows that do not, by reason in `quarantine_reasons`.
        duplicate_rows: Accepted rows that a later row for the same key replaced.
        left_out_rows: Rows of silver that the project's recipe, or `exclude_after_event` of the
            target, keeps out of gold.
        quarantine_reasons: The commonest reasons and their counts.
        gold_table: The table that training reads.
        gold_snapshot: Its snapshot.
        sources: The same of each further source, by name.
        labels: What became of rows of gold where the target is made from events.
        broken_sources: Further sources that cannot be read, or of which no row fulfils its
            contract, with what is wrong; no feature and no target is made from them.
        models: The same of each further model that reads these rows, by name.
    """

    source: str
    new_batches: int
    recomputed: tuple[str, ...]
    bronze_rows: int
    silver_rows: int
    quarantined_rows: int
    duplicate_rows: int
    left_out_rows: int
    quarantine_reasons: dict[str, int]
    gold_table: str
    gold_snapshot: int
    sources: Mapping[str, SourceResult] = field(default_factory=dict)
    labels: LabelCounts | None = None
    broken_sources: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, "DataResult"] = field(default_factory=dict)


def refresh_all(
    settings: Settings,
    contract: Contract,
    start: date | None = None,
    end: date | None = None,
    *,
    further_sources: bool = True,
) -> DataResult:
    """As `refresh`, and then silver and gold of each further model, from the same bronze.

    With a further model's settings and contract: of that model alone.

    Raises:
        ProjectError: The first model's that has one, as `refresh`; the tables of the others are up
            to date then.
    """
    models = for_every_model(
        settings,
        contract,
        lambda own, its: refresh(own, its, start, end, further_sources=further_sources),
    )
    return replace(models.pop(settings.model), models=models)


@uses_rows
def refresh_source_alone(
    settings: Settings,
    contract: Contract,
    name: str,
    start: date | None = None,
    end: date | None = None,
) -> SourceResult:
    """Bronze and silver of one further source, and of nothing else.

    Args:
        settings: Where the lake is.
        contract: The main table's.
        name: The source.
        start: As for `refresh`.
        end: As for `refresh`.

    Raises:
        ContractError: If there is no such source, or its file is wrong.
        SourceError: If it cannot be read. Where nothing needs it that is noted, too.
        LakehouseError: If none of its rows fulfils the contract, or a column's type changed.
    """
    sources = {each.dataset: each for each in load_sources(settings.root, contract.base)}
    if name not in sources:
        raise ContractError(
            f"{contract.dataset} has no source {name}",
            f"name one of {', '.join([contract.base, *sources])}",
        )
    own, run_id = sources[name], _new_run_id()
    lakehouse = open_lakehouse(settings)
    faults = SourceFaults(lakehouse, (), run_id)
    suppression = SuppressionList(lakehouse, settings, contract).load()
    with one_ingestion(settings, contract):
        generate_sample(settings.root, contract)  # the sources of the example are part of it
    try:
        with one_ingestion(settings, own):
            supply = find_source_supply(lakehouse, settings.root, own)
            delivery = ingest_source(lakehouse, own, supply, run_id, suppression)
        result = refresh_source(lakehouse, settings, own, delivery, Period(start, end), run_id)
    except ProjectError as error:
        if name not in needed_by_models(settings, contract):
            faults.found[name] = f"{error.message}: {error.fix}"
            faults.note([own])
        raise
    faults.note([own])
    return result


@uses_rows
def refresh(
    settings: Settings,
    contract: Contract,
    start: date | None = None,
    end: date | None = None,
    *,
    further_sources: bool = True,
) -> DataResult:
    """Bring the lake up to date with the contract's source and the further ones.

    Twice in a row changes nothing.

    Args:
        settings: Where the lake is.
        contract: What a row is.
        start: With `end`: recompute the intervals of this period, and no others.
        end: The first day after the period.
        further_sources: Off: they are read as the lake has them; `refresh_source_alone` brings
            them up to date.

    Raises:
        ContractError: If a file of `config/sources` is wrong.
        SourceError: If the main table's source, or one that gold is made from, cannot be read.
        LakehouseError: If no row fulfils the contract, a column's type changed, or the lake lacks a
            source that is needed and left out.
        ProjectDefinitionError: If a recipe or a feature of the project cannot be used.
    """
    sources = load_sources(settings.root, contract.base)
    contract = learned_contract(settings, contract)
    if contract.target.event:
        event_source(contract, sources)
    lakehouse = open_lakehouse(settings)
    run_id = _new_run_id()
    if unused := unused_parts(settings.root, contract.base):
        step(unused)
    step("bronze: reading the source")
    suppression = SuppressionList(lakehouse, settings, contract).load()
    recipes, period = settings.project.recipes, Period(start, end)
    faults = SourceFaults(lakehouse, needed_sources(contract), run_id)
    asked = sources if further_sources else ()
    _require_silver(lakehouse, () if further_sources else sources, needed_sources(contract))
    with ExitStack() as locks:
        for table in (contract, *asked):
            locks.enter_context(one_ingestion(settings, table))
        # Everything is looked at before anything is written: a source that is missing, or does not
        # fit, leaves every table as it was.
        supply = find_supply(lakehouse, settings.root, contract)
        supplies: dict[str, Supply] = {}
        for each in asked:
            with faults.kept(each):
                supplies[each.dataset] = find_source_supply(lakehouse, settings.root, each)
        delivery = ingest(lakehouse, contract, supply, run_id, suppression, recipes)
        write_records(lakehouse, contract, delivery.records)
        deliveries: dict[str, Delivery] = {}
        for each in asked:
            if each.dataset in supplies:
                with faults.kept(each):
                    found = supplies[each.dataset]
                    deliveries[each.dataset] = ingest_source(
                        lakehouse, each, found, run_id, suppression
                    )
    results: dict[str, SourceResult] = {}
    for each in asked:
        if each.dataset in deliveries:
            with faults.kept(each):
                results[each.dataset] = refresh_source(
                    lakehouse, settings, each, deliveries[each.dataset], period, run_id
                )
    faults.note(asked)
    faults.found |= {} if further_sources else noted_faults(lakehouse, sources)
    done = latest_by_subject(read_records(lakehouse, contract, "gold"))
    of_another_contract = not all(
        is_same_contract(contract, record.fingerprint) for record in done.values()
    )
    if of_another_contract or not (done or delivery.records):
        keep_intervals_in_step(lakehouse, contract)

    rows = current_rows(lakehouse, contract, delivery.batches)
    is_series = reads_own_table(contract)
    account = own_account(lakehouse, contract, delivery.batches) if is_series else {}
    known = window_sources(lakehouse, contract, sources, account)
    labels = label_events(lakehouse, contract, sources)
    own = of_interval(
        known,
        recipes_digest(rows, contract.request, recipes),
        labels.digest if labels else lambda _: "",
    )
    pending = pending_intervals(lakehouse, contract, delivery.batches, done, period, own)
    for batch in together(pending, settings.lake.rows_at_once):
        _recompute(lakehouse, contract, delivery, recipes, batch, run_id, known, labels)
    result = _result(lakehouse, contract, delivery, tuple(item.interval for item in pending))
    counted = count_labels(lakehouse, labels) if labels else None
    if counted is not None:
        say_labels(counted, contract)
    return replace(result, sources=results, labels=counted, broken_sources=faults.found)


def needed_by_models(settings: Settings, contract: Contract) -> set[str]:
    """The further sources that the gold table of any model cannot be made without."""
    models = [(settings, contract), *further_contracts(settings)]
    return {name for own, its in models for name in needed_sources(learned_contract(own, its))}


def needed_sources(contract: Contract) -> set[str]:
    """The further sources that gold cannot be made without."""
    names = {each.source for each in definitions_in(contract)}
    return names | ({contract.target.event} if contract.target.event else set())


def _new_run_id() -> str:
    return f"data-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"


def _recompute(
    lakehouse: Lakehouse,
    contract: Contract,
    delivery: Delivery,
    recipes: Data,
    batch: list[PendingInterval],
    run_id: str,
    sources: WindowSources,
    labels: LabelEvents | None,
) -> None:
    """Silver, quarantine and gold of a few intervals, and then the record that they are done."""
    intervals = tuple(item.interval for item in batch)
    started = datetime.now(UTC).replace(tzinfo=None)
    shown = say_intervals(batch)
    step(f"silver: checking {sum(item.rows for item in batch)} rows of {shown}")
    counts = refine(lakehouse, contract.request, delivery.batches, intervals, recipes)
    step(f"gold: publishing {shown}")
    reached = rows_reached(lakehouse, sources, intervals)
    events = labels.of(lakehouse, intervals) if labels else NO_EVENTS
    gold = publish(lakehouse, contract, intervals, recipes, reached, events)
    published = _gold_rows(lakehouse, contract, recipes, intervals, counts)
    finished = datetime.now(UTC).replace(tzinfo=None)

    pairs = list(zip(batch, counts, strict=True))
    silver = [silver_record(run_id, item, count, started, finished) for item, count in pairs]
    write_records(
        lakehouse,
        contract,
        [
            *silver,
            *(
                replace(
                    record,
                    step="gold",
                    rows_in=record.rows_out,
                    rows_out=published[record.subject],
                    quarantined=0,
                    duplicates=0,
                    snapshot=gold.snapshot_id,
                )
                for record in silver
            ),
        ],
    )


def _gold_rows(
    lakehouse: Lakehouse,
    contract: Contract,
    recipes: Data,
    intervals: tuple[str, ...],
    counts: list[IntervalCounts],
) -> dict[str, int]:
    """How many rows of each interval became gold: all, unless recipe or target leave some out."""
    if recipes.gold is None and not contract.target.exclude_after_event:
        return {count.interval: count.silver for count in counts}
    import ibis

    rows = lakehouse.read(gold_table(contract), partitions=Partitions(INTERVAL, intervals))
    held = lakehouse.collect(rows.group_by(INTERVAL).aggregate(rows=ibis._.count())).to_pylist()
    return dict.fromkeys(intervals, 0) | {row[INTERVAL]: row["rows"] for row in held}


def _result(
    lakehouse: Lakehouse, contract: Contract, delivery: Delivery, recomputed: tuple[str, ...]
) -> DataResult:
    records = latest_by_subject(read_records(lakehouse, contract, "silver")).values()
    published = latest_by_subject(read_records(lakehouse, contract, "gold")).values()
    reasons = commonest_reasons(lakehouse, contract)
    snapshot = lakehouse.snapshot(gold_table(contract))
    silver_rows = sum(record.rows_out for record in records)
    if snapshot is None or silver_rows == 0:
        raise LakehouseError(
            f"no row of {contract.source.name} fulfils the contract; reasons: {reasons}",
            f"correct {contract.file}, or run: {contract.inferred_by}",
        )
    return DataResult(
        source=contract.source.name,
        new_batches=len(delivery.records),
        recomputed=recomputed,
        bronze_rows=sum(record.rows_in for record in records),
        silver_rows=silver_rows,
        quarantined_rows=sum(record.quarantined for record in records),
        duplicate_rows=sum(record.duplicates for record in records),
        left_out_rows=sum(record.rows_in - record.rows_out for record in published),
        quarantine_reasons=reasons,
        gold_table=str(snapshot.table),
        gold_snapshot=snapshot.snapshot_id,
    )


def _require_silver(
    lakehouse: Lakehouse, left_out: Sequence[SourceContract], needed: Collection[str]
) -> None:
    """Insist that the lake has each further source that gold is made from."""
    for each in left_out:
        if each.dataset in needed and not lakehouse.exists(silver_table(each)):
            raise LakehouseError(
                f"gold is made from {each.dataset}, too, which is not in the lake yet",
                f"first: data --only {each.dataset}",
            )
