"""Ports that nothing listens on."""

import random
import socket

# Below the ports that Linux gives to outgoing connections (32768 and above): one of these could
# take such a port between the moment it is found free and the moment the server binds it.
_RANGE = range(20_000, 32_000)
_untried = random.sample(_RANGE, len(_RANGE))


def free_port() -> int:
    """A port of 127.0.0.1 that is free now, and that this process was not given before."""
    while _untried:
        port = _untried.pop()
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise OSError(f"no port of {_RANGE.start} to {_RANGE.stop} is left")
