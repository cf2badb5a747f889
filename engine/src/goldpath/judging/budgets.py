"""How long one row may take, and how much a stored model may weigh."""

import time
from collections.abc import Callable
from functools import partial

from goldpath.judging.evidence import Evidence
from goldpath.judging.validation_report import ValidationResult, ValidationStatus

TIMED_PREDICTIONS = 15


def check_latency(evidence: Evidence) -> ValidationResult:
    """The fastest of some predictions of one row by the model itself, on one thread.

    The median on a busy machine says how busy it is: 40 ms became 900 ms with a load of ten, most
    of it threads of gradient boosting that wait for a core.
    """
    rows = [evidence.rows.iloc[[place]] for place in _timed_rows(evidence)]
    fastest = _fastest([partial(evidence.model.predict, row) for row in rows])
    return _judged("latency", fastest, len(rows), evidence.validation.latency_ms, "")


def check_served_latency(evidence: Evidence) -> ValidationResult | None:
    """The same of the form in which a registered version serves; none before it is registered."""
    stored = evidence.stored
    if stored is None:
        return None
    names = evidence.contract.feature_names
    frame = evidence.rows.iloc[list(_timed_rows(evidence))]
    frame = frame[[name for name in names if name in frame.columns]].astype(object)
    found = frame.where(frame.notna(), None).to_dict("records")
    rows = [{str(name): value for name, value in row.items()} for row in found]
    fastest = _fastest([partial(stored.answer, row) for row in rows])
    limit = evidence.validation.served_latency_ms
    return _judged("served latency", fastest, len(rows), limit, f" by its {stored.form}")


def check_size(evidence: Evidence) -> ValidationResult:
    """The stored model's size: all files of a registered version, else the pipeline's."""
    size, of_what = evidence.size_bytes, ""
    if evidence.stored is not None:
        size, of_what = evidence.stored.size_bytes, " in all files of the version"
    if size is None:
        from skops.io import dumps

        size = len(dumps(evidence.model.pipeline))
    megabytes, limit = size / 1e6, evidence.validation.size_mb
    return ValidationResult(
        "size",
        ValidationStatus.PASSED if megabytes <= limit else ValidationStatus.FAILED,
        f"{megabytes:.2f} MB{of_what}, at most {limit:g} MB",
        score=megabytes,
        threshold=limit,
    )


def _timed_rows(evidence: Evidence) -> range:
    return range(min(TIMED_PREDICTIONS, len(evidence.rows)))


def _fastest(predictions: list[Callable[[], object]]) -> float:
    """Milliseconds of the fastest; the first one is made once more before, to warm up."""
    from threadpoolctl import threadpool_limits

    spent = []
    with threadpool_limits(1):
        for predict in (predictions[0], *predictions):
            start = time.perf_counter()
            predict()
            spent.append((time.perf_counter() - start) * 1000)
    return min(spent[1:])


def _judged(name: str, fastest: float, rows: int, limit: float, by_whom: str) -> ValidationResult:
    figure = f"{fastest:.1f}" if fastest >= 1 else f"{fastest:.3f}"
    return ValidationResult(
        name,
        ValidationStatus.PASSED if fastest <= limit else ValidationStatus.FAILED,
        f"{figure} ms for one row{by_whom} (fastest of {rows}), at most {limit:g} ms",
        score=fastest,
        threshold=limit,
    )
