"""Ports that nothing listens on."""

import os
import random
import socket
from pathlib import Path

RANGE_SIZE = 12_000
FIRST_UNPRIVILEGED = 1_024


def below_outgoing(first_outgoing: int) -> range:
    """Ports below those that Linux gives to outgoing connections.

    An outgoing connection could take a port between the moment it is found free and the moment
    the server binds it.
    """
    return range(max(FIRST_UNPRIVILEGED, first_outgoing - RANGE_SIZE), first_outgoing)


def share_of(ports: range, worker: str, workers: int) -> range:
    """The ports of one of pytest-xdist's workers, so that no two find the same one free."""
    return ports[int(worker.removeprefix("gw")) % workers :: workers]


_limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ports = share_of(
    below_outgoing(int(_limits.read_text().split()[0]) if _limits.exists() else 32_768),
    os.environ.get("PYTEST_XDIST_WORKER", "gw0"),
    int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
)
_untried = random.sample(_ports, len(_ports))


def free_port() -> int:
    """A port of 127.0.0.1 that is free now, and that this process was not given before."""
    while _untried:
        port = _untried.pop()
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise OSError(f"no port of {_ports.start} to {_ports.stop} is left")
