"""How often a client may ask, and how much of it at the same time, over all workers.

The fast lane asks for every request, so a worker takes a client's requests from the shared table in
blocks: as many as the client will want in the next 25 milliseconds, which it must use within 50. In
any stretch of time a client has therefore never more than rate times seconds, and one burst.
"""

import ipaddress
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from goldpath.serving.access.client_table import ClientTable
from goldpath.serving.access.roles import ANONYMOUS, Client
from goldpath.serving.http.problem_error import ProblemError

SECOND = 1_000_000_000
BLOCK_LIFE = SECOND // 20
REMEMBERED = 10_000
PASSWORD_GUESSES = (("login from {peer}", 20, 60), ("login of {user} from {peer}", 5, 60))
"""What a bucket is for, how many fit, and in how many seconds an empty one is full. The address
comes first: names are invented for nothing, and each would take a place in the table."""
MESSAGES = ("message from {peer}", 300, 60)


class _Block:
    """Requests that were taken from the table and are not used yet."""

    __slots__ = ("left", "refused_until", "size", "taken_at", "until")

    def __init__(self) -> None:
        self.left = self.size = self.taken_at = self.until = self.refused_until = 0


class Limits:
    """The limits of every client.

    Args:
        file: The table that the workers share; None keeps it in this process.
        requests_per_second: Of one client; 0: no limit.
        burst_seconds: A client that was quiet may ask at once what it could in so many seconds.
        concurrent_requests: Of one client at the same time, past the fast lane; 0: no limit.
        clock: Nanoseconds that all processes of this machine count alike.
    """

    def __init__(
        self,
        file: Path | None,
        requests_per_second: float,
        burst_seconds: float = 1,
        concurrent_requests: int = 0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._table = ClientTable(file, clock)
        self._clock = clock
        self._concurrent = concurrent_requests
        self._is_limited = requests_per_second > 0
        self._blocks: dict[str, _Block] = {}
        self._entered: dict[str, list[int]] = {}
        self._interval = self._burst = self._largest = 1
        self._pause = 0
        self._headers: dict[str, str] = {}
        if not self._is_limited:
            return
        burst = max(1, int(requests_per_second * burst_seconds))
        self._interval = max(1, int(SECOND / requests_per_second))
        self._burst = burst * self._interval
        if self._burst > 2 * BLOCK_LIFE:
            self._largest = max(1, min(BLOCK_LIFE // 2 // self._interval, burst // 8))
        if self._largest > 1:  # what is taken may be used late: the bucket is smaller by as much
            self._burst -= BLOCK_LIFE
            self._pause = SECOND // 1000
        window = max(1, math.ceil(burst * self._interval / SECOND))
        self._headers = {"RateLimit-Policy": f'"requests";q={burst};w={window}'}

    def admit(self, client: Client, peer: str = "") -> bool:
        """Whether a client may make one more request now; it is counted then.

        Args:
            client: Who asks.
            peer: The address, by which anonymous clients are told apart.
        """
        if not self._is_limited:
            return True
        name = client.name
        if peer and name == ANONYMOUS:
            name = peer
        now = self._clock()
        block = self._blocks.get(name)
        if block is not None and block.left > 0 and now < block.until:
            block.left -= 1
            return True
        return self._take_block(name, block, now)

    def give_back(self, client: Client, peer: str = "") -> None:
        """A request that was admitted is passed on, and whoever gets it asks again."""
        block = self._blocks.get(_name(client, peer))
        if self._is_limited and block is not None and self._clock() < block.until:
            block.left += 1

    def retry_after(self, client: Client, peer: str = "") -> float:
        """Seconds until a client that was refused may ask again."""
        block = self._blocks.get(_name(client, peer))
        return 0.0 if block is None else max(0, block.refused_until - self._clock()) / SECOND

    def enter(self, client: Client, peer: str = "") -> bool:
        """Note a request as under way; False where the client has too many."""
        if not self._concurrent:
            return True
        name = _shared(_name(client, peer))
        place = self._table.enter(name, self._concurrent)
        if place is not None:
            self._entered.setdefault(name, []).append(place)
        return place is not None

    def leave(self, client: Client, peer: str = "") -> None:
        """A request that was entered is done."""
        name = _shared(_name(client, peer))
        places = self._entered.get(name)
        if places:
            self._table.leave(places.pop())
            if not places:
                del self._entered[name]

    @contextmanager
    def request_of(self, client: Client, peer: str = "") -> Iterator[None]:
        """Hold a client's request inside.

        Raises:
            ProblemError: 429, with the time to wait.
        """
        if not self.admit(client, peer):
            seconds = self.retry_after(client, peer)
            raise ProblemError(
                429,
                f"{client.name} asks more often than allowed ({self._headers['RateLimit-Policy']})",
                f"wait {seconds:.1f} seconds, put several rows into one request to /predict/batch,"
                " or raise MLOPS_ACCESS__REQUESTS_PER_SECOND",
                {**self._headers, **_waiting(seconds, '"requests";r=0;t=')},
            )
        if not self.enter(client, peer):
            raise ProblemError(
                429,
                f"{client.name} has {self._concurrent} requests under way already",
                "wait for their answers, or raise MLOPS_ACCESS__CONCURRENT_REQUESTS",
                {"Retry-After": "1"},
            )
        try:
            yield
        finally:
            self.leave(client, peer)

    def refuse_guessing(self, user: str, peer: str) -> None:
        """Count a try to log in.

        Raises:
            ProblemError: 429 where there were too many.
        """
        for purpose, tries, seconds in PASSWORD_GUESSES:
            bucket = purpose.format(user=user, peer=_network(peer))
            self._refuse_more(bucket, tries, seconds, "too many tries to log in")

    def refuse_flood(self, peer: str) -> None:
        """Count a message whose sender is known by its signature alone.

        Raises:
            ProblemError: 429 if there were too many.
        """
        purpose, count, seconds = MESSAGES
        bucket = purpose.format(peer=_network(peer))
        self._refuse_more(bucket, count, seconds, "too many messages came from this address")

    def _refuse_more(self, bucket: str, count: int, seconds: int, detail: str) -> None:
        interval = seconds * SECOND // count
        granted, wait = self._table.take(bucket, 1, interval, count * interval)
        if not granted:
            fix = f"wait {math.ceil(wait / SECOND)} seconds"
            headers = _waiting(wait / SECOND, '"tries";r=0;t=')
            raise ProblemError(429, detail, fix, headers)

    def close(self) -> None:
        """Give back this worker's place in the table."""
        self._table.close()

    def _take_block(self, name: str, block: _Block | None, now: int) -> bool:
        if block is None:
            if len(self._blocks) >= REMEMBERED:
                self._blocks.clear()
            block = self._blocks[name] = _Block()
        if now < block.refused_until:
            return False
        wanted = self._next_size(block, now)
        granted, wait = self._table.take(_shared(name), wanted, self._interval, self._burst)
        if not granted:
            # A client at its limit would take one at a time, and cost what blocks are to save.
            block.left, block.refused_until = 0, now + max(wait, self._pause)
            return False
        block.size, block.left = granted, granted - 1
        block.taken_at, block.until = now, now + BLOCK_LIFE
        return True

    def _next_size(self, block: _Block, now: int) -> int:
        """As many as the client uses in half of a block's life, at the pace of the last one."""
        used, took = block.size - block.left, max(1, now - block.taken_at)
        if took >= SECOND:
            return 1
        return min(self._largest, max(1, used * (BLOCK_LIFE // 2) // took), 4 * block.size + 1)


def _name(client: Client, peer: str) -> str:
    return peer if peer and client.name == ANONYMOUS else client.name


def _shared(name: str) -> str:
    """The name of a client's record. An IPv6 host has a whole network of addresses."""
    return "client " + (_network(name) if ":" in name else name)


def _network(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 4:
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))


def _waiting(seconds: float, prefix: str) -> dict[str, str]:
    whole = str(max(1, math.ceil(seconds)))
    return {"Retry-After": whole, "RateLimit": prefix + whole}
