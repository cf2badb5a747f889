"""Runs the service under Uvicorn until Ctrl-C or SIGTERM, and leaves no process behind."""

import gc
import os
import shutil
import signal
import socket
import ssl
import sys
import threading
import time
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..contract import load_contract
from ..errors import ProjectError
from ..presentation import print_json
from ..settings import Settings
from .service_logs import log_config
from .tracing import require_tracing

if TYPE_CHECKING:
    from .fast_lane import FastLane

GRACE_SECONDS = 10


class ServingError(ProjectError):
    """The service cannot start."""


def run_server(settings: Settings, production: bool, *, as_json: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        settings: Host, port and number of workers.
        production: Several processes and JSON logs, instead of one process and an access log.
        as_json: Say where it serves as one JSON object.

    Raises:
        ContractError: Where `config/project.yaml` is wrong.
        TracingError: Where traces are asked for and their packages are missing.
        ServingError: Where the port is taken or the host is not this machine's.
    """
    load_contract(
        settings.root
    )  # a wrong contract is an error here, not a traceback in each worker
    require_tracing(settings)
    listener = _listen(settings.serving.host, settings.serving.port)
    # One-row predictions gain nothing from OpenMP, and its spinning threads fight each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    workers = settings.serving.workers if production else 1
    _prepare_metrics(settings, workers)
    _announce(settings, workers, as_json=as_json)
    # A background command starts with SIGINT ignored, and SIGTERM alone would not mean exit code 0.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _exit_cleanly)
    try:
        _run(settings, listener, workers, production=production)
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()


def create_worker(settings: Settings, parent: int | None) -> "FastLane":
    """Make the app of one process.

    Args:
        settings: The settings that the command was started with.
        parent: Process id of the supervisor; the worker ends when it is gone.
    """
    from .api import create_service

    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True, name="orphan").start()
    return create_service(settings, after_loading=settle_memory)


def settle_memory() -> None:
    """Keep the collector off what stays for good: modules, the app, the model.

    Each full collection walks everything that lives. With a model's libraries loaded that stopped
    every request for 50 ms, several times a second under load; what is frozen is not walked.
    """
    gc.unfreeze()  # the former model may go
    gc.collect()
    gc.freeze()


def _run(settings: Settings, listener: socket.socket, workers: int, *, production: bool) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from .lane_protocol import LaneProtocol

    config = uvicorn.Config(
        partial(create_worker, settings, os.getpid() if workers > 1 else None),
        factory=True,
        http=LaneProtocol,
        workers=workers,
        access_log=not production,
        log_config=log_config(as_json=production),
        server_header=False,
        proxy_headers=False,  # nothing here asks who called, and it costs microseconds
        timeout_graceful_shutdown=GRACE_SECONDS,
        **_tls(settings),
    )
    if workers > 1:
        Multiprocess(config, sockets=[listener]).run()
    else:
        uvicorn.Server(config).run(sockets=[listener])


def _tls(settings: Settings) -> dict[str, Any]:
    """What Uvicorn needs to speak HTTPS; nothing where no certificate is named."""
    serving = settings.serving
    if not serving.tls_certificate:
        return {}
    certificate, key = settings.root / serving.tls_certificate, settings.root / serving.tls_key
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password of its own a key that needs one would stop and ask the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise ServingError(
            f"{serving.tls_certificate} and {serving.tls_key} cannot be used: "
            f"{getattr(error, 'strerror', None) or error}",
            "give a PEM certificate with its chain, and its private key without a passphrase",
        ) from error
    return {"ssl_certfile": certificate, "ssl_keyfile": key}


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything else is done, so a busy one is one clear sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ServingError(
            f"the service cannot listen on {host}:{port}: {error.strerror}",
            "stop what uses the port, or choose another: MLOPS_SERVING__PORT=8010 make serve",
        ) from error
    return listener


def _prepare_metrics(settings: Settings, workers: int) -> None:
    """Several workers count into one folder. It starts empty, else old counts would come back.

    The variable must be set before prometheus_client is imported, which the workers do.
    """
    variable = "PROMETHEUS_MULTIPROC_DIR"
    if workers == 1:
        os.environ.pop(variable, None)
        return
    folder = settings.run_directory / f"metrics-{settings.serving.port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[variable] = str(folder)


def _announce(settings: Settings, workers: int, *, as_json: bool) -> None:
    host = settings.serving.host
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # nosec B104
    shown = everywhere.get(host, host)
    scheme = "https" if settings.serving.tls_certificate else "http"
    url = f"{scheme}://{shown}:{settings.serving.port}"
    if as_json:
        print_json({"url": url, "documentation": f"{url}/docs", "processes": workers})
    else:
        processes = "1 process" if workers == 1 else f"{workers} processes"
        sys.stdout.write(
            f"Serving on {url} ({processes}), documentation: {url}/docs. Ctrl-C stops it.\n"
        )
    sys.stdout.flush()


def _exit_cleanly(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)


def _end_with(parent: int) -> None:
    """Stop this worker when its supervisor was killed and cannot stop it."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
