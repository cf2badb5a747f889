"""The feature views and the online store."""

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from goldpath.settings.section import Section


class FeatureViewSettings(Section):
    """A feature view as `config/features.yaml` writes it; what it leaves out is the contract's."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    description: str = ""
    owner: str = ""
    entity: str | None = None
    event_time: str | None = None
    source: str | None = Field(
        default=None, pattern=r"^[^.]+\.[^.]+$", description="layer.table, such as gold.customers"
    )
    created_column: str | None = Field(
        default=None, description="of rows with one entity and time, the largest value wins"
    )
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    ttl: str | None = Field(
        default=None, pattern=r"^[1-9][0-9]{0,8}[smhdw]$", description="365d, 12h; none: for ever"
    )
    online: bool = True


class FeatureSettings(Section):
    """The feature views, and the online store that serves them by entity key."""

    config_file: ClassVar[str] = "features.yaml"

    online_store: Literal["sqlite", "redis", "dynamodb"] = "sqlite"
    url: SecretStr = Field(
        default=SecretStr(""),
        description="SQLite: a file below the project's root; Redis: redis://…; DynamoDB: endpoint",
    )
    table: str = Field(
        default="",
        description="Redis: the keys' prefix; DynamoDB: the table, aws.online_table if empty",
    )
    window_ttl: str | None = Field(
        default="7d",
        pattern=r"^[1-9][0-9]{0,8}[smhdw]$",
        description="window features of an older materialization are missing; none: any age",
    )
    window_store_down: Literal["refuse", "missing"] = Field(
        default="refuse",
        description="without the online store a model with window features answers 503, or takes "
        "them for missing; counted either way",
    )
    views: tuple[FeatureViewSettings, ...] = (FeatureViewSettings(name="entity_features"),)
