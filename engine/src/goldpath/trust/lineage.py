"""What a model can be rebuilt from, and how its card shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldpath.pages.markdown import table


@dataclass(frozen=True)
class Lineage:
    """What the model can be rebuilt from.

    Attributes:
        run_id: MLflow's run.
        snapshot_id: Of the gold table.
        commit: Of the code; a plus where files differed from it.
        lock_digest: SHA-256 of the locked requirements.
        contract_digest: SHA-256 of the contract.
        seed: Of everything that is random.
        key_id: The key that the model is signed with.
    """

    run_id: str
    snapshot_id: str
    commit: str
    lock_digest: str
    contract_digest: str
    seed: int
    key_id: str = ""


def lineage_table(lineage: Lineage, parameters: Mapping[str, Any]) -> str:
    """The lineage and the parameters of the fit, as Markdown."""
    rows = {
        "run": lineage.run_id,
        "gold snapshot": lineage.snapshot_id,
        "commit": lineage.commit or "not under git",
        "lock (SHA-256)": lineage.lock_digest,
        "contract (SHA-256)": lineage.contract_digest,
        "seed": lineage.seed,
        "signed with key": lineage.key_id or "not signed",
        "parameters": ", ".join(f"{key}={value}" for key, value in parameters.items()),
    }
    return table(("what", "value"), [(name, value) for name, value in rows.items() if value != ""])
