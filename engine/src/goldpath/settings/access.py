"""Users, keys and rate limits of the service."""

import ipaddress
from typing import ClassVar, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from goldpath.settings.section import Section

Role = Literal["predict", "label", "admin", "automl", "read-metrics"]
ROLES: tuple[Role, ...] = get_args(Role)
DISCOVERY = "/.well-known/openid-configuration"
"""Below an issuer's address: what OpenID Connect Discovery 1.0 (section 4) calls its document."""


class AccessSettings(Section):
    """Who may ask the service, how often, and what is kept of it."""

    config_file: ClassVar[str] = "access.yaml"

    require_credential: bool | None = Field(
        default=None, description="None: outside development, and where serving.api_key is set"
    )
    store: SecretStr = Field(
        default=SecretStr(""),
        description="SQLAlchemy URL of users and keys; the file below where it is empty",
    )
    store_file: str = ".secrets/access.db"
    cache_seconds: float = Field(
        default=5, gt=0, le=60, description="a revoked key or user is out within this time"
    )
    token_minutes: float = Field(default=15, gt=0, le=1440)
    token_keys: SecretStr = Field(
        default=SecretStr(""), description="JSON list of keys; the file below where it is empty"
    )
    token_keys_file: str = ".secrets/tokens.json"  # noqa: S105  a path
    issuer: str = Field(default="mlops", min_length=1)
    audience: str = Field(default="predictions", min_length=1)
    oidc_issuer: str = Field(
        default="",
        description="identity provider whose tokens count, to the letter as they name it in iss",
    )
    oidc_audience: str = Field(default="", description="what aud of its tokens must hold")
    oidc_jwks_url: str = Field(
        default="", description="where its keys are; empty: as its discovery document says"
    )
    oidc_user_claim: str = Field(default="sub", min_length=1)
    oidc_roles_claim: str = Field(
        default="roles", min_length=1, description="dots lead into objects: realm_access.roles"
    )
    oidc_roles: dict[str, tuple[Role, ...]] = Field(
        default={}, description="roles of each group of the provider; empty: by the same names"
    )
    local_login: bool | None = Field(
        default=None, description="users and passwords of this service; None: without oidc_issuer"
    )
    requests_per_second: float = Field(
        default=100_000, ge=0, description="of one client, over all workers; 0: no limit"
    )
    burst_seconds: float = Field(
        default=1, gt=0, description="a quiet client may ask at once what it could in so long"
    )
    concurrent_requests: int = Field(
        default=256, ge=0, description="of one client, past the fast lane; 0: no limit"
    )
    metrics: Literal["open", "role"] = Field(
        default="open", description="role: /metrics asks for the role read-metrics"
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="pages of these origins may call: https://app.example.com"
    )
    personal_values: Literal["drop", "hash", "keep"] = Field(
        default="drop", description="in the prediction log, of the contract's personal columns"
    )

    @property
    def has_local_login(self) -> bool:
        """Whether users log in at this service, with passwords that it keeps."""
        return not self.oidc_issuer if self.local_login is None else self.local_login

    @model_validator(mode="after")
    def _provider_can_be_believed(self) -> Self:
        if not self.oidc_issuer:
            if self.oidc_audience or self.oidc_jwks_url or self.oidc_roles:
                raise ValueError("oidc_… without oidc_issuer has no effect: name the issuer")
            return self
        for name in ("oidc_issuer", "oidc_jwks_url"):
            address = getattr(self, name)
            if address and not is_safe_address(address):
                raise ValueError(f"{name} is {address!r}: give an https:// address")
        if not self.oidc_audience:
            raise ValueError(
                "oidc_audience is missing: without it, tokens for any other application of "
                "oidc_issuer would open this service"
            )
        return self


def is_safe_address(address: object) -> bool:
    """Whether what comes from an address can be believed: https, or this machine."""
    try:
        parts = urlsplit(address) if isinstance(address, str) else None
        if parts is None or not parts.hostname:
            return False
        if parts.scheme == "https" or parts.hostname == "localhost":
            return parts.scheme in ("http", "https")
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return False
