"""Who asks: API keys, tokens, and what each may do.

`Access.known` is asked for every request in the fast lane and only looks into a dictionary. What it
does not hold goes to `Access.authenticate`, which asks the store in a thread and then remembers
the answer. A thread asks again for all that is remembered and used, in half the time for which
anything is believed: a revoked key or a disabled user is out within `access.cache_seconds`.
"""

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from goldpath.errors import ProjectError
from goldpath.serving.access.location import has_store
from goldpath.serving.access.records import KEY_PREFIX
from goldpath.serving.access.roles import EVERYBODY, OWNER, Client
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.security import API_KEY_HEADER, same_secret
from goldpath.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request

    from goldpath.serving.access.identity_provider import IdentityProvider
    from goldpath.serving.access.records import User
    from goldpath.serving.access.store import AccessStore
    from goldpath.serving.access.tokens import TokenKeys

REMEMBERED, REMEMBERED_WRONG = 10_000, 1000
FOR_EVER = float("inf")
OUTAGE_SECONDS = 300.0
"""For so long a credential that was good is believed while the store cannot be asked."""
LONGEST_CREDENTIAL, LONGEST_PROVIDER_TOKEN = 4096, 16_384
_KEY_HEADER, _TOKEN_HEADER = API_KEY_HEADER.lower().encode(), b"authorization"

log = logging.getLogger(__name__)


class _Entry:
    """A credential that was found good: until when it is believed, and when it expires."""

    __slots__ = ("checked", "client", "expires", "is_used", "until")

    def __init__(self, client: Client) -> None:
        self.client, self.is_used = client, True
        self.checked = self.until = self.expires = 0.0

    def believe(self, now: float, seconds: float) -> None:
        """Believe it for some seconds, not beyond its end."""
        self.until = min(now + seconds, self.expires)


class Access:
    """Says who asks.

    Args:
        settings: The key of the environment, and where the others are.
        clock: Seconds, for what is remembered.

    Attributes:
        anonymous: Who a request without a credential is; None where it is refused.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._seconds = settings.access.cache_seconds
        self._key = settings.service_key.encode()
        self.anonymous = None if needs_credential(settings) else EVERYBODY
        self._seen: dict[bytes, dict[bytes, _Entry]] = {_KEY_HEADER: {}, _TOKEN_HEADER: {}}
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._wrong: dict[bytes, float] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._store: AccessStore | None = None
        self._tokens: TokenKeys | None = None
        self._provider: IdentityProvider | None = None
        self._token_threads: ThreadPoolExecutor | None = None
        self._longest_token = LONGEST_CREDENTIAL
        if settings.access.oidc_issuer:
            self._token_threads = ThreadPoolExecutor(2, thread_name_prefix="tokens")
            self._longest_token = LONGEST_PROVIDER_TOKEN
        if self._key:  # known from the first request on, which then need not wait for the app
            self._remember(_KEY_HEADER, self._key, OWNER, FOR_EVER)

    def known(self, header: bytes, value: bytes) -> Client | None:
        """Whose credential this is, where it was found good lately; else `authenticate` decides.

        Args:
            header: `x-api-key` or `authorization`.
            value: What it holds.
        """
        entry = self._seen[header].get(value)
        if entry is None or self._clock() >= entry.until:
            return None
        entry.is_used = True
        return entry.client

    async def authenticate(self, request: "Request", role: str) -> Client:
        """Who sent a request.

        Args:
            request: The request.
            role: What its route asks for.

        Raises:
            ProblemError: 401 where the credential is missing or wrong, 403 where its role does not
                suffice, 503 where the store cannot be asked.
        """
        client = await self._identify(request)
        if role not in client.roles:
            raise ProblemError(
                403,
                f"{client.name} has not the role {role}, which this path asks for",
                f"use a credential with it: api-key create NAME --role {role}",
            )
        return client

    def find_user(self, name: str) -> "User | None":
        """A user of the store; takes milliseconds."""
        store = self._opened()
        return None if store is None else store.user(name)

    def tokens(self) -> "TokenKeys":
        """What makes and reads tokens."""
        from goldpath.serving.access.tokens import TokenKeys

        if self._tokens is None:
            self._tokens = TokenKeys(self._settings)
        return self._tokens

    def close(self) -> None:
        """Stop asking the store."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._token_threads is not None:
            self._token_threads.shutdown(wait=False, cancel_futures=True)
        if self._store is not None:
            self._store.close()

    async def _identify(self, request: "Request") -> Client:
        found = [
            (name, value)
            for name, value in request.scope["headers"]
            if name in (_KEY_HEADER, _TOKEN_HEADER)
        ]
        if not found:
            if self.anonymous is None:
                raise _refused(
                    f"the header {API_KEY_HEADER} is missing",
                    f"send {API_KEY_HEADER}: KEY, or Authorization: Bearer TOKEN",
                )
            return self.anonymous
        if len(found) > 1:
            raise _refused("there is more than one credential", f"send {API_KEY_HEADER} alone")
        header, value = found[0]
        client = self.known(header, value)
        if client is not None:
            return client
        if header == _KEY_HEADER and self._key and same_secret(value, self._key):
            return self._remember(header, value, OWNER, FOR_EVER)
        if len(value) > (self._longest_token if header == _TOKEN_HEADER else LONGEST_CREDENTIAL):
            raise _refused("the credential is too long", "send a key, or a token with fewer claims")
        if self._clock() < self._wrong.get(value, 0.0):
            raise _wrong(header)
        try:
            # Other threads than those of keys, which must not wait for a provider that is silent.
            threads = self._token_threads if header == _TOKEN_HEADER else None
            loop = asyncio.get_running_loop()
            client, expires = await loop.run_in_executor(threads, self._look_up, header, value)
        except ProjectError as error:
            log.warning("a credential cannot be checked: %s", error.message)
            raise ProblemError(
                503, "the credential cannot be checked now", "try again", {"Retry-After": "5"}
            ) from error
        if client is None:
            if len(self._wrong) >= REMEMBERED_WRONG:
                self._wrong.clear()
            self._wrong[value] = self._clock() + 1  # a client that insists costs no look-up each
            raise _wrong(header)
        return self._remember(header, value, client, expires)

    def _remember(self, header: bytes, value: bytes, client: Client, expires: float) -> Client:
        entry = _Entry(client)
        entry.checked, entry.expires = self._clock(), expires
        entry.believe(entry.checked, FOR_EVER if client is OWNER else self._seconds)
        with self._lock:
            seen = self._seen[header]
            if len(seen) >= REMEMBERED:
                seen.clear()
            seen[value] = entry
            if self._thread is None and client is not OWNER:
                self._thread = threading.Thread(
                    target=self._keep_asking, daemon=True, name="access"
                )
                self._thread.start()
        return client

    def _look_up(self, header: bytes, value: bytes) -> tuple[Client | None, float]:
        """Who has a credential, and when it expires; takes milliseconds."""
        now = self._clock()
        text = value
        if header == _TOKEN_HEADER:
            scheme, _, text = value.partition(b" ")
            text = text.strip()
            if scheme.lower() != b"bearer" or not text:
                return None, now
            if text.count(b".") == 2:
                return self._look_up_token(text, now)
        if self._key and same_secret(text, self._key):
            return OWNER, FOR_EVER
        if not text.startswith(KEY_PREFIX.encode()) or (store := self._opened()) is None:
            return None, now
        found = store.key_by_digest(hashlib.sha256(text).hexdigest())
        if found is None or not found.is_valid:
            return None, now
        store.note_use(found.id)
        left = FOR_EVER if found.expires_at is None else found.expires_at - time.time()
        return Client(found.name, frozenset(found.roles)), now + left

    def _look_up_token(self, text: bytes, now: float) -> tuple[Client | None, float]:
        from goldpath.serving.access.tokens import TokenError

        token = text.decode("latin-1")
        try:
            if (provider := self._identity_provider()) and provider.is_issuer_of(token):
                claims = provider.read(token)
                client = Client(claims.user, frozenset(claims.roles))
                return client, now + claims.expires_at - time.time()
            if not self._settings.access.has_local_login:
                return None, now
            claims = self.tokens().read(token)
        except TokenError:
            return None, now
        store = self._opened()
        user = None if store is None else store.user(claims.user)
        if user is None or user.is_disabled or claims.issued_at < user.tokens_since:
            return None, now
        roles = frozenset(user.roles) & frozenset(claims.roles)
        return Client(claims.user, roles), now + claims.expires_at - time.time()

    def _identity_provider(self) -> "IdentityProvider | None":
        """Reads the tokens of others; None where the settings name no issuer."""
        if self._provider is None and self._settings.access.oidc_issuer:
            from goldpath.serving.access.identity_provider import IdentityProvider

            self._provider = IdentityProvider(self._settings)
        return self._provider

    def _opened(self) -> "AccessStore | None":
        """The store; None where nobody has made one."""
        if not has_store(self._settings):
            return None
        from goldpath.serving.access.store import AccessStore, open_engine

        with self._opening:
            if self._store is None:
                self._store = AccessStore(open_engine(self._settings))
            return self._store

    def _keep_asking(self) -> None:
        while not self._stopped.wait(self._seconds / 2):
            for header, seen in self._seen.items():
                for value, entry in list(seen.items()):
                    if entry.client is not OWNER:
                        self._ask_again(header, value, entry)

    def _ask_again(self, header: bytes, value: bytes, entry: _Entry) -> None:
        """Renew or forget what is remembered; what nobody used meanwhile is forgotten, too."""
        client: Client | None = None
        now = self._clock()
        if entry.is_used:
            entry.is_used = False
            try:
                client, entry.expires = self._look_up(header, value)
                entry.checked = now
            except ProjectError as error:
                log.warning("a credential cannot be checked: %s", error.message)
                if now < entry.checked + OUTAGE_SECONDS:
                    entry.is_used, client = True, entry.client
            except Exception:  # this thread is the only one that takes revoked credentials out
                log.exception("a credential cannot be checked")
        if client is None:
            self._seen[header].pop(value, None)
        else:
            entry.client = client
            entry.believe(now, self._seconds)


def needs_credential(settings: Settings) -> bool:
    """Whether a request without a credential is refused.

    As the setting says; where it says nothing: outside development, and where a key is set.
    """
    if settings.access.require_credential is not None:
        return settings.access.require_credential
    has_key = bool(settings.serving.api_key.get_secret_value())
    return settings.environment != "development" or has_key


def _refused(detail: str, fix: str) -> ProblemError:
    return ProblemError(401, detail, fix, {"WWW-Authenticate": "ApiKey, Bearer"})


def _wrong(header: bytes) -> ProblemError:
    named = "the header Authorization" if header == _TOKEN_HEADER else API_KEY_HEADER
    return _refused(
        f"{named} is wrong: unknown, expired or revoked",
        "send a valid key (api-key create), or a new token",
    )
