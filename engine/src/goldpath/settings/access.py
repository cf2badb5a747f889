"""Users, keys and rate limits of the service."""

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from goldpath.settings.section import Section


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
