"""Batch inference, top to bottom: the engine's three steps, and one of this project's own."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from goldpath import BatchWork, batch


def rank_calls(work: BatchWork) -> BatchWork:
    """Add `call_rank`: 1 for the customer to call first, the one most likely to leave."""
    ranks = pc.rank(work.scored["score"], sort_keys="descending", tiebreaker="first")
    return replace(work, scored=work.scored.append_column("call_rank", ranks.cast(pa.int64())))


steps = (
    batch.load_rows,  # gold, or the rows of a file that fulfil the contract
    batch.score_rows,  # with the champion
    rank_calls,
    batch.store_predictions,  # one row each in the predictions table
)
