"""Silver, quarantine and gold of some bronze rows, as expressions over them; nothing is stored.

What `refresh` writes for an interval, computed wherever the rows are: for the leak check and tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.features.event_labels import NO_EVENTS, Events
from goldpath.jobs.data.gold import gold_rows
from goldpath.jobs.data.recipes import clean_raw
from goldpath.jobs.data.silver import latest_of_each_key
from goldpath.project import Data
from goldpath.quality.checks import divide_rows, mark_rows

if TYPE_CHECKING:
    import ibis


@dataclass(frozen=True)
class Layers:
    """What becomes of bronze rows.

    Attributes:
        silver: Those that fulfil the contract, one for each key.
        quarantine: The others, with the reasons.
        gold: Those of silver that models learn from, with their computed features.
    """

    silver: "ibis.Table"
    quarantine: "ibis.Table"
    gold: "ibis.Table"


def marked_rows(bronze: "ibis.Table", contract: Contract, recipes: Data) -> "ibis.Table":
    """Bronze rows as the contract reads them, each with the reasons against it.

    Planning this takes an engine longer than computing it: keep the result where it is used twice.

    Raises:
        ProjectDefinitionError: If silver's recipe cannot be used.
    """
    sent = contract.request
    return mark_rows(clean_raw(bronze, sent, recipes), sent, require_target=True)


def layers_of(
    marked: "ibis.Table",
    contract: Contract,
    recipes: Data,
    sources: "Mapping[str, ibis.Table] | None" = None,
    events: Events = NO_EVENTS,
) -> Layers:
    """Silver, quarantine and gold of marked rows.

    Args:
        marked: What `marked_rows` gave.
        contract: With the project's window and row features.
        recipes: The project's.
        sources: The checked rows of the further sources, by name; without one, each entity is
            unknown there.
        events: What the target is made from, if it is no column.

    Raises:
        ProjectDefinitionError: If gold's recipe cannot be used.
    """
    divided = divide_rows(marked)
    silver = latest_of_each_key(divided.accepted, contract.request)
    held = {**(sources or {}), contract.dataset: silver}
    gold = gold_rows(silver, contract, recipes, held, events)
    return Layers(silver, divided.rejected, gold)
