"""Runs the service under Uvicorn until Ctrl-C or SIGTERM, and leaves no process behind."""

import gc
import ipaddress
import os
import shutil
import socket
import ssl
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from logging.config import dictConfig
from typing import TYPE_CHECKING, Any

from goldpath.contract import Contract, load_contract
from goldpath.errors import ProjectError
from goldpath.serving.http.service_logs import log_config
from goldpath.serving.http.tracing import require_tracing
from goldpath.serving.process.supervisor import (
    CAN_FORK,
    STARTUP_FAILURE,
    Supervisor,
    handle_stop_signals,
)
from goldpath.serving.security import API_KEY_HEADER
from goldpath.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from goldpath.serving.lane.fast_lane import FastLane
    from goldpath.serving.serving_core import ServingCore

GRACE_SECONDS = 10
SWITCH_SECONDS = 0.001
"""How long another thread may keep the event loop waiting, each time that the loop was asleep.

It is several times a request. With Python's own 5 ms everybody else waited 40 to 100 ms while one
long body was read in a thread.
"""
NEEDED_BY_WORKERS = (
    "goldpath.serving.api",
    "goldpath.serving.process.late_app",
    "goldpath.serving.lane.protocol",
    "goldpath.learning.background",
    "goldpath.compiled.store",
    "goldpath.registry.mlflow_manager",
    "goldpath.registry.files.kept_model",
    "cryptography.hazmat.primitives.serialization",
    "pydantic.v1",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
)
"""What is imported before workers are forked, so that they share it."""


class ServingError(ProjectError):
    """The service cannot start."""


def run_server(settings: Settings, production: bool, *, as_json: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        settings: Host, port and number of workers.
        production: Several processes and JSON logs, instead of one process and an access log.
        as_json: Say where it serves as one JSON object.

    Raises:
        ContractError: If `config/project.yaml` is wrong.
        TracingError: If traces are asked for and their packages are missing.
        ServingError: If the port is taken, the host is not this machine's, or strangers could ask.
    """
    contract = load_contract(settings.root, settings.model)
    require_credentials(settings)
    require_tracing(settings)
    tls = _tls(settings)
    listener = _listen(settings.serving.host, settings.serving.port)
    # One-row predictions gain nothing from OpenMP, and its spinning threads fight each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    workers = settings.serving.workers if production else 1
    _prepare_metrics(settings, workers)
    _announce(settings, workers, as_json=as_json)
    handle_stop_signals()
    make = partial(create_worker, settings, contract, is_forked=CAN_FORK and workers > 1)
    work = partial(_work, make, listener, tls, production=production)
    try:
        if workers > 1:
            _supervise(work, workers)
        else:
            work()
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()


def require_credentials(settings: Settings) -> None:
    """Refuse to let everybody in who reaches this machine, unless a setting says so.

    Raises:
        ServingError: If other machines could ask without a credential.
    """
    from goldpath.serving.access.clients import needs_credential

    host = settings.serving.host
    is_meant = settings.access.require_credential is False
    if is_meant or needs_credential(settings) or _is_loopback(host):
        return
    raise ServingError(
        f"serving.host is {host}, so other machines could ask, and no credential is asked for "
        f"(environment={settings.environment})",
        "set MLOPS_ENVIRONMENT=production or MLOPS_ACCESS__REQUIRE_CREDENTIAL=true, and give "
        "callers keys (make api-key NAME=…); MLOPS_ACCESS__REQUIRE_CREDENTIAL=false lets "
        "everybody in",
    )


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host; so where there is no such host to listen on."""
    if not host:
        return False  # all of this machine's addresses
    try:
        found = {str(each[4][0]).partition("%")[0] for each in socket.getaddrinfo(host, None)}
    except OSError:
        return True
    addresses = [ipaddress.ip_address(each) for each in found]
    return all((getattr(each, "ipv4_mapped", None) or each).is_loopback for each in addresses)


def _supervise(work: Callable[[], None], workers: int) -> None:
    dictConfig(log_config(as_json=True))
    if CAN_FORK:
        for name in NEEDED_BY_WORKERS:
            import_module(name)
    Supervisor(work, workers, 2 * GRACE_SECONDS).run()


def _work(
    make: "Callable[[], FastLane]",
    listener: socket.socket,
    tls: dict[str, Any],
    *,
    production: bool,
) -> None:
    """Serve in this process until a signal stops it."""
    import uvicorn

    from goldpath.serving.lane.protocol import LaneProtocol

    sys.setswitchinterval(SWITCH_SECONDS)
    config = uvicorn.Config(
        make,
        factory=True,
        http=LaneProtocol,
        ws="none",  # there are none, and their library takes a tenth of the start
        access_log=not production,
        log_config=log_config(as_json=production),
        server_header=False,
        proxy_headers=False,  # nothing here asks who called, and it costs microseconds
        timeout_graceful_shutdown=GRACE_SECONDS,
        **tls,
    )
    uvicorn.Server(config).run(sockets=[listener])


def create_worker(settings: Settings, contract: Contract, *, is_forked: bool) -> "FastLane":
    """Make what serves in one process: the fast lane at once, and FastAPI's app behind it.

    Args:
        settings: The settings that the command was started with.
        contract: The contract.
        is_forked: Whether this process shares memory with others.
    """
    from goldpath.serving.lane.fast_lane import FastLane
    from goldpath.serving.models.cores import add_further_models
    from goldpath.serving.process.late_app import LateApp
    from goldpath.serving.serving_core import ServingCore

    core = ServingCore(settings, contract, after_loading=partial(settle_memory, is_forked))
    add_further_models(core)
    app = LateApp(partial(_make_app, core, is_forked), core.running, _give_up)
    return FastLane(app, core)


def settle_memory(is_shared: bool) -> None:
    """Keep the collector off what stays for good: modules, the app, the model.

    Each full collection walks everything that lives. With a model's libraries loaded that stopped
    every request for 50 ms, several times a second under load; what is frozen is not walked.

    Args:
        is_shared: Whether memory is shared with other processes, until it is walked. What is
            frozen stays so then; a former model goes without the collector's help.
    """
    if not gc.isenabled():
        return  # while the service starts; all is settled when its app is made
    if not is_shared:
        gc.unfreeze()
    gc.collect()
    gc.freeze()


def _make_app(core: "ServingCore", is_shared: bool) -> "FastAPI":
    from goldpath.serving.api import app_around

    try:
        return app_around(core)
    finally:
        gc.enable()
        settle_memory(is_shared)


def _give_up() -> None:
    """A service without its app is none; whoever watches over this process sees it end."""
    os._exit(STARTUP_FAILURE)


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
    url = f"{settings.serving.scheme}://{shown}:{settings.serving.port}"
    from goldpath.serving.access.clients import needs_credential

    needs_key = needs_credential(settings)
    if as_json:
        from goldpath.presentation import print_json  # it brings the library for tables

        print_json(
            {
                "url": url,
                "documentation": f"{url}/docs",
                "processes": workers,
                "needs_credential": needs_key,
            }
        )
    else:
        processes = "1 process" if workers == 1 else f"{workers} processes"
        callers = f" Callers send {API_KEY_HEADER}." if needs_key else ""
        sys.stdout.write(
            f"Serving on {url} ({processes}), documentation: {url}/docs.{callers} "
            "Ctrl-C stops it.\n"
        )
    sys.stdout.flush()
