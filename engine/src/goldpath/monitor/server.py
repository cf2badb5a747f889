"""Shows the monitoring page on 127.0.0.1, and the reports that it links to.

The stores are read when somebody looks, at most every ten seconds. Other programs and web pages
reach the port, too: it only answers GET, only names that are this machine's, and of the files only
the known reports.
"""

import logging
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from goldpath.contract import Contract, load_contract
from goldpath.errors import ProjectError
from goldpath.monitor.page import render_page
from goldpath.monitor.state import MonitorReader
from goldpath.monitor.written_reports import KNOWN, TYPES
from goldpath.settings import Settings

OK, FORBIDDEN, NOT_FOUND, UNAVAILABLE = 200, 403, 404, 503
KEPT_SECONDS = 10.0
KEPT_SECONDS_ON_AWS = 300.0
"""There each look costs a few of Athena's queries."""

LOOK_AGAIN_SECONDS = 60
REPORTS = "reports/"
NAMES = ("127.0.0.1", "localhost")
HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"

log = logging.getLogger(__name__)


class MonitorServer(ThreadingHTTPServer):
    """Listens until it is shut down.

    Args:
        settings: The project that is shown.
        contract: Its contract.
        port: The port of 127.0.0.1; 0 for a free one.
    """

    daemon_threads = True

    def __init__(self, settings: Settings, contract: Contract, port: int = 0) -> None:
        self.settings = settings
        self.kept_seconds = (
            KEPT_SECONDS if settings.lake.backend == "local" else KEPT_SECONDS_ON_AWS
        )
        self._contract = contract
        self._reader = MonitorReader(settings, contract)
        self._one_at_a_time = threading.Lock()
        self._page, self._made = "", 0.0
        super().__init__((NAMES[0], port), _Handler)

    @property
    def look_again_seconds(self) -> int:
        """How often a browser asks for the page again."""
        return max(LOOK_AGAIN_SECONDS, int(self.kept_seconds))

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{NAMES[0]}:{self.server_address[1]}"

    def page(self) -> str:
        """The page, as it was at most a few seconds ago, by the contract as it is now.

        Raises:
            ContractError: If the contract cannot be read.
        """
        with self._one_at_a_time:
            if not self._page or time.monotonic() - self._made >= self.kept_seconds:
                contract = load_contract(self.settings.root, self.settings.model)
                if contract != self._contract:  # `adopt` wrote another
                    self._contract = contract
                    self._reader = MonitorReader(self.settings, contract)
                state = self._reader.read(datetime.now(UTC))
                self._page = render_page(
                    state, reports=REPORTS, is_live=True, look_again_seconds=self.look_again_seconds
                )
                self._made = time.monotonic()
            return self._page


class _Handler(BaseHTTPRequestHandler):
    server: MonitorServer
    timeout = 10

    def do_GET(self) -> None:
        """The page, a report, or that it is there."""
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        path = self.path.split("?", 1)[0]
        if host not in NAMES:  # a name of elsewhere that was made to lead here
            self._answer(FORBIDDEN, "text/plain", b"this page is for 127.0.0.1 only\n")
        elif path == "/ready":
            self._answer(OK, "text/plain", b"ready\n")
        elif path == "/":
            self._page()
        else:
            self._report(path.removeprefix(f"/{REPORTS}"))

    def _page(self) -> None:
        headers = {"Refresh": str(self.server.look_again_seconds)}
        try:
            page = self.server.page()
        except ProjectError as error:
            self._answer(UNAVAILABLE, TEXT, f"{error}\n".encode(), headers)
            return
        except Exception as error:
            # A damaged file that no part of the page expects: the next look may find it mended.
            log.exception("the page cannot be made")
            said = f"the page cannot be made: {type(error).__name__}: {error}; see the server's log"
            self._answer(UNAVAILABLE, TEXT, f"{said}\n".encode("utf-8", "replace"), headers)
            return
        self._answer(OK, HTML, page.encode(), headers)

    def _report(self, name: str) -> None:
        file = self.server.settings.reports / name
        if name not in {each.name for each in KNOWN} or not file.is_file():
            self._answer(NOT_FOUND, "text/plain", b"there is no such report\n")
            return
        self._answer(OK, TYPES[file.suffix], file.read_bytes())

    def _answer(
        self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Who looks when is not written down."""
