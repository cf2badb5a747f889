"""The model behind LitServe: requests of one row or many, gathered into batches.

python serving_litserve.py PORT BATCH_SIZE BATCH_SECONDS
"""

import sys
from typing import Any

import litserve
from serving_engines import load_engine


class Scorer(litserve.LitAPI):
    """One request after the other."""

    def setup(self, device: str) -> None:  # noqa: ARG002  the interface's
        """Load the engine that the environment names."""
        self.score = load_engine()

    def decode_request(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows."""
        return request["rows"]

    def predict(self, rows: Any) -> Any:
        """Probabilities of the rows."""
        return self.score(rows)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The answer."""
        return {"probabilities": output}


class BatchingScorer(Scorer):
    """Several requests at once, which may have one row or many."""

    def batch(self, inputs: list[Any]) -> Any:
        """All rows behind each other, and how many each request has."""
        self.sizes = [len(rows) for rows in inputs]
        return [row for rows in inputs for row in rows]

    def unbatch(self, output: Any) -> list[Any]:
        """Each request's share."""
        answers = iter(output)
        return [[next(answers) for _ in range(size)] for size in self.sizes]


if __name__ == "__main__":
    port, size, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    if size > 1:
        api: Scorer = BatchingScorer(max_batch_size=size, batch_timeout=seconds)
    else:
        api = Scorer()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
