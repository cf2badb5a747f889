"""How model versions are numbered, signed, recorded and announced."""

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from goldpath.settings.section import Section


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
