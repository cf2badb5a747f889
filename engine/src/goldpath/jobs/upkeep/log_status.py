"""`logs status` and `logs ship`: what waits in the service's logs, and sending it to the stream."""

import threading
from dataclasses import dataclass

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import feedback_table, served_table
from goldpath.serving.log.segments import sealed, segments
from goldpath.serving.log.shipping import Shipped, ship, ship_until, shipping_lock, waiting_bytes
from goldpath.serving.log.streams import StreamError, open_stream
from goldpath.settings import Settings


@dataclass(frozen=True)
class LogStatus:
    """What the service's logs hold.

    Attributes:
        folder: The prediction log's segments.
        segments: How many there are.
        open_segments: How many of them a process writes to.
        bytes: Their size.
        feedback_bytes: Size of the labels' segments.
        stream: Where lines are sent.
        waiting_for_stream: Bytes that it does not have yet.
        predictions_in_lake: Rows that were moved.
        labels_in_lake: Labels that were moved.
    """

    folder: str
    segments: int
    open_segments: int
    bytes: int
    feedback_bytes: int
    stream: str
    waiting_for_stream: int
    predictions_in_lake: int
    labels_in_lake: int


def log_status(settings: Settings, contract: Contract) -> LogStatus:
    """Look at the logs and their tables."""
    lakehouse = open_lakehouse(settings)
    folder = settings.root / settings.serving.prediction_log
    files = segments(folder)
    opened = 0
    for file in files:
        with sealed(file) as held:
            opened += held is None
    rows = [lakehouse.snapshot(table(contract)) for table in (served_table, feedback_table)]
    stream = settings.prediction_log.stream
    return LogStatus(
        folder=settings.shown(folder),
        segments=len(files),
        open_segments=opened,
        bytes=sum(file.stat().st_size for file in files),
        feedback_bytes=sum(
            file.stat().st_size
            for file in segments(settings.root / settings.prediction_log.feedback)
        ),
        stream=stream,
        waiting_for_stream=0 if stream == "none" else waiting_bytes(folder),
        predictions_in_lake=rows[0].rows if rows[0] else 0,
        labels_in_lake=rows[1].rows if rows[1] else 0,
    )


def ship_log(settings: Settings, *, follow: bool) -> Shipped:
    """Send what the stream lacks: once, or until Ctrl-C.

    Raises:
        StreamError: If there is no stream, another process ships, or the stream refuses.
        NothingToDoError: If the stream has everything.
    """
    stream = open_stream(settings)
    if stream is None:
        raise StreamError(
            "prediction_log.stream is none, so there is nowhere to send lines",
            "set stream to kafka or kinesis in config/prediction_log.yaml",
        )
    folder = settings.root / settings.serving.prediction_log
    if follow:
        try:
            ship_until(threading.Event(), folder, stream)
        except KeyboardInterrupt:
            return Shipped(0, waiting_bytes(folder))
    with shipping_lock(folder) as is_ours:
        if not is_ours:
            raise StreamError(
                "another process sends the log already: the service, or `logs ship --follow`",
                "nothing is to be done; `logs status` says what waits",
            )
        shipped = ship(folder, stream)
    stream.close()
    if not shipped.records and not shipped.waiting:
        raise NothingToDoError("the stream has every line", "ask for a prediction first")
    return shipped
