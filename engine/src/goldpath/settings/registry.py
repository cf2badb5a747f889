"""How model versions are numbered, signed, recorded and announced."""

import base64
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from goldpath.settings.section import Section

SHORTEST_SECRET = 8
_BASE64_MARK = "whsec_"


class VersionRule(Section):
    """When a version number rises, and which part of it."""

    bump: Literal["major", "minor", "patch"]
    when: str = Field(description="a key of the context, such as breaking_change")
    at_least: float | None = Field(
        default=None, description="a number must reach this; without it, the value must be true"
    )
    reason: str


class VersionSettings(Section):
    """How semantic versions of models are counted."""

    first: str = "1.0.0"
    significant_gain: float = Field(
        default=0.01, gt=0, description="gain of the main metric that counts as more than a retrain"
    )
    rules: tuple[VersionRule, ...] = Field(
        default=(), description="rules of one's own beside the built-in ones"
    )


class RegistrySettings(Section):
    """How versions are signed, recorded and announced."""

    config_file: ClassVar[str] = "registry.yaml"

    audit_log: str = "audit/registry.jsonl"
    signing_key: SecretStr = Field(
        default=SecretStr(""),
        description="Ed25519 private key as PEM; the file below where it is empty",
    )
    signing_key_file: str = ".secrets/signing.pem"
    trusted_keys: str = Field(
        default="config/keys", description="folder with the public keys (*.pem) that are trusted"
    )
    actor: str = Field(default="", description="who acts, in the audit log; the user if empty")
    webhook_url: SecretStr = Field(
        default=SecretStr(""), description="is told of each promotion and rollback"
    )
    webhook_format: Literal["json", "slack", "teams"] = "json"
    webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="signs each message (Standard Webhooks)"
    )
    version_rules: VersionSettings = VersionSettings()

    @field_validator("webhook_secret")
    @classmethod
    def check_secret(cls, secret: SecretStr) -> SecretStr:
        """A secret that nobody could sign with is a mistake, and a blank one is everybody's."""
        text = secret.get_secret_value()
        if not text:
            return secret
        try:
            marked = text.startswith(_BASE64_MARK)
            key = base64.b64decode(text[len(_BASE64_MARK) :], validate=True) if marked else b""
        except ValueError as error:
            raise ValueError(f"what follows {_BASE64_MARK} is not base64") from error
        if len(key if marked else text.strip().encode()) < SHORTEST_SECRET:
            raise ValueError(f"it has less than {SHORTEST_SECRET} bytes: anybody could guess it")
        return secret
