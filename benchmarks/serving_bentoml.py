"""The model behind BentoML: one row with adaptive batching or without, and many rows at once.

bentoml serve serving_bentoml:Scorer
"""

import bentoml
from serving_engines import load_engine

Row = dict[str, float | str | None]


@bentoml.service(workers=1, traffic={"timeout": 60})
class Scorer:
    """Loads the engine that the environment names."""

    def __init__(self) -> None:
        """Called once a worker."""
        self.score = load_engine()

    # Coroutines: a thread for each request costs more than scoring it.
    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=30_000)
    async def predict(self, rows: list[Row]) -> list[list[float]]:
        """Batches of up to 64 rows, gathered from several requests."""
        return self.score(rows)

    @bentoml.api
    async def predict_at_once(self, rows: list[Row]) -> list[list[float]]:
        """The rows of one request."""
        return self.score(rows)
