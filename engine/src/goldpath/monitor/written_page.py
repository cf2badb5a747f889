"""`monitor-page`: the page as one HTML file."""

from dataclasses import dataclass
from datetime import UTC, datetime

from goldpath.contract import Contract
from goldpath.monitor.page import notices_of, render_page
from goldpath.monitor.state import MonitorReader
from goldpath.reports import write_text
from goldpath.settings import Settings

PAGE = "monitor.html"


@dataclass(frozen=True)
class MonitorPage:
    """Where the page is.

    Attributes:
        page: The HTML file.
        champion: The version that serves; none where there is none, or nobody can tell.
        notices: What somebody should look at, the alarms first.
    """

    page: str
    champion: str
    notices: tuple[str, ...]


def write_page(settings: Settings, contract: Contract, now: datetime | None = None) -> MonitorPage:
    """Write `reports/monitor.html`; its links lead to the reports beside it.

    Args:
        settings: The project's settings.
        contract: The project's contract.
        now: The moment; now where not given.
    """
    state = MonitorReader(settings, contract).read(now or datetime.now(UTC))
    file = settings.reports / PAGE
    write_text(file, render_page(state, reports="", is_live=False))
    return MonitorPage(
        page=settings.shown(file),
        champion=f"version {state.champion}" if state.champion else "none",
        notices=tuple(notice.text for notice in notices_of(state)),
    )
