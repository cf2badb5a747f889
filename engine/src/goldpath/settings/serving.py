"""The HTTP service: addresses, limits, logs and TLS."""

import ipaddress
from typing import ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from goldpath.settings.section import Section


class ServingSettings(Section):
    """The HTTP service."""

    config_file: ClassVar[str] = "serving.yaml"

    alias: str = Field(
        default="champion",
        pattern=r"^[a-z][a-z0-9_-]{0,62}$",
        description="the alias of the version that answers",
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    workers: int = Field(default=2, ge=1, description="processes of `serve --production`")
    maximum_batch_rows: int = Field(default=1000, ge=1)
    maximum_body_bytes: int = Field(default=5_000_000, ge=1000)
    read_seconds: float = Field(
        default=30, gt=0, description="a request must have arrived whole within this time"
    )
    refresh_seconds: float = Field(default=5, gt=0, description="how often the alias is looked up")
    prediction_log: str = "logs/predictions"
    shadow_log: str = "logs/shadow"
    access_log: bool = Field(
        default=False, description="a JSON line for each request that the app answers"
    )
    access_log_share: float = Field(
        default=0, ge=0, le=1, description="of the fast lane's answers that get a line, too"
    )
    tracing_endpoint: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="OpenTelemetry collector (OTLP/HTTP), such as http://127.0.0.1:4318",
    )
    compiled: bool = Field(
        default=True, description="serve the compiled form where parity was proved at registration"
    )
    maximum_nesting: int = Field(default=16, ge=4, description="objects and lists in each other")
    tls_certificate: str = Field(
        default="", description="PEM file, with the chain; the service speaks HTTPS then"
    )
    tls_key: str = Field(default="", description="PEM file of the certificate's private key")
    api_key: SecretStr = SecretStr("")
    api_key_file: str = Field(
        default=".secrets/api.key",
        description="holds the key where `api_key` is empty; `make setup` makes it",
    )

    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="addresses and networks whose X-Forwarded-For, -Proto and -Prefix count",
    )
    root_path: str = Field(
        default="",
        pattern=r"^((/[A-Za-z0-9._~-]+)+)?$",
        description="what the service's paths begin with outside, such as /churn",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        """Names are not looked up: an address that changes would change who is trusted."""
        for each in proxies:
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError as error:
                raise ValueError(
                    f"{each!r} is no address or network, such as 127.0.0.1 or 10.0.0.0/8"
                ) from error
        return proxies

    @model_validator(mode="after")
    def check_tls(self) -> Self:
        """A certificate is of no use without its key."""
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key belong together; one is missing")
        return self

    @property
    def scheme(self) -> str:
        """What the service's addresses begin with."""
        return "https" if self.tls_certificate else "http"
