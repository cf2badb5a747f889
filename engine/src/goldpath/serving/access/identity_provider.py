"""Tokens of an identity provider: checked with the public keys that it publishes (JWKS).

The provider is one that speaks OpenID Connect Discovery 1.0. Its keys are kept for five minutes; a
token that names an unknown key makes the service ask again, at most twice a minute, so that
rotated keys are found and forged tokens cannot be turned into load on the provider.
"""

import json
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from goldpath.errors import ProjectError
from goldpath.serving.access.roles import ROLES
from goldpath.serving.access.tokens import LEEWAY_SECONDS, Claims, TokenError
from goldpath.settings import Settings
from goldpath.settings.access import DISCOVERY, is_safe_address

if TYPE_CHECKING:
    from jwt import PyJWKClient

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Signatures with a private key: a public one must never be taken for the secret of an HMAC."""
PREFIX = "oidc:"
TIMEOUT_SECONDS, KEYS_LIVE_SECONDS, COOLDOWN_SECONDS = 5.0, 300.0, 30.0
PAUSE_SECONDS = 10.0
"""For so long a provider that did not answer is not asked again."""
LONGEST_DOCUMENT = 1_000_000
LONGEST_SUBJECT = 200
NOT_VALID = "the token is not valid"


class ProviderError(ProjectError):
    """The identity provider cannot be asked, or does not say what it should."""


class IdentityProvider:
    """Reads the tokens of the provider that `access.oidc_issuer` names.

    Args:
        settings: The section `access`.
    """

    def __init__(self, settings: Settings) -> None:
        self._access = settings.access
        self._lock = threading.Lock()
        self._keys: PyJWKClient | None = None
        self._silent_until = 0.0

    def is_issuer_of(self, token: str) -> bool:
        """Whether a token says that it comes from this provider; nothing is believed yet."""
        import jwt

        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            return False
        return claims.get("iss") == self._access.oidc_issuer

    def read(self, token: str) -> Claims:
        """What a token says.

        Args:
            token: The text after `Bearer`.

        Raises:
            TokenError: If it is not one of the provider's for this audience, or not valid now.
            ProviderError: If the provider's keys are needed and it does not answer.
        """
        import jwt

        access = self._access
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            if algorithm not in ALGORITHMS:
                raise TokenError(NOT_VALID, f"sign with one of {', '.join(ALGORITHMS)}")
            key = self._client().get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=[str(algorithm)],
                audience=access.oidc_audience,
                issuer=access.oidc_issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise ProviderError(_silent(access.oidc_issuer), "try again") from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenError(NOT_VALID, f"ask {access.oidc_issuer} for one") from error
        return Claims(
            PREFIX + _subject(claims, access.oidc_user_claim),
            roles_of(claims, access.oidc_roles_claim, access.oidc_roles),
            float(claims["iat"]),
            float(claims["exp"]),
        )

    def _client(self) -> "PyJWKClient":
        """What fetches and keeps the keys; its address is asked for once."""
        with self._lock:
            if self._keys is None:
                if time.monotonic() < self._silent_until:
                    raise ProviderError(_silent(self._access.oidc_issuer), "try again")
                try:
                    address = self._access.oidc_jwks_url or _discover(self._access.oidc_issuer)
                except ProviderError:
                    self._silent_until = time.monotonic() + PAUSE_SECONDS
                    raise
                self._keys = _key_client(address)
            return self._keys


def roles_of(
    claims: Mapping[str, Any], claim: str, named: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    """The service's roles among what a claim holds, in the order of `ROLES`.

    Args:
        claims: Of the token.
        claim: The claim's name; dots lead into objects, as in `realm_access.roles`.
        named: Which roles each of the provider's groups gives; empty: groups bear the roles' names.

    Returns:
        What the token may do; a group that means nothing here gives nothing.

    Example:
        >>> roles_of({"groups": ["scoring", "staff"]}, "groups", {"scoring": ("predict",)})
        ('predict',)
        >>> roles_of({"realm_access": {"roles": ["label", "x"]}}, "realm_access.roles", {})
        ('label',)
    """
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for name in claim.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    groups = value.split() if isinstance(value, str) else value
    if not isinstance(groups, list):
        return ()
    held = {group for group in groups if isinstance(group, str)}
    if named:
        held = {role for group in held for role in named.get(group, ())}
    return tuple(role for role in ROLES if role in held)


def _subject(claims: Mapping[str, Any], claim: str) -> str:
    subject = claims.get(claim)
    if not isinstance(subject, str) or not subject.strip() or not subject.isprintable():
        raise TokenError(NOT_VALID, f"the claim {claim} names the user")
    if len(subject) > LONGEST_SUBJECT:
        raise TokenError(NOT_VALID, f"the claim {claim} has {LONGEST_SUBJECT} characters at most")
    return subject


def _discover(issuer: str) -> str:
    """Where the provider keeps its keys, by its own document."""
    address = issuer.rstrip("/") + DISCOVERY
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            document = json.loads(answer.read(LONGEST_DOCUMENT))
        found, said = document["jwks_uri"], document["issuer"]
    except (OSError, HTTPException) as error:  # URLError, TimeoutError and a reset among them
        raise ProviderError(_silent(issuer), "try again") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProviderError(
            f"{address} is no document of OpenID Connect Discovery",
            "correct access.oidc_issuer, or give access.oidc_jwks_url",
        ) from error
    if said != issuer:
        raise ProviderError(
            f"{address} belongs to the issuer {str(said)[:200]!r}, not {issuer!r}",
            "correct access.oidc_issuer, to the letter",
        )
    if not is_safe_address(found):
        raise ProviderError(
            f"the keys of {issuer} are at {str(found)[:200]!r}, which is not https",
            "give access.oidc_jwks_url",
        )
    return str(found)


def _key_client(address: str) -> "PyJWKClient":
    """What fetches the keys; an answer that holds none is an outage, and not asked for at once.

    PyJWT's own pause begins with a success, so each token would wait for a provider that hangs.
    """
    import jwt

    class KeyClient(jwt.PyJWKClient):
        silent_until = 0.0

        def fetch_data(self) -> Any:
            if time.monotonic() < self.silent_until:
                raise jwt.PyJWKClientConnectionError("it did not answer a moment ago")
            try:
                return super().fetch_data()
            except (jwt.PyJWTError, OSError, ValueError, RecursionError) as error:
                self.silent_until = time.monotonic() + PAUSE_SECONDS
                raise jwt.PyJWKClientConnectionError(str(error)) from error

    return KeyClient(
        address,
        lifespan=KEYS_LIVE_SECONDS,
        timeout=TIMEOUT_SECONDS,
        cooldown_duration=COOLDOWN_SECONDS,
    )


def _silent(issuer: str) -> str:
    return f"the identity provider {issuer} does not answer"
