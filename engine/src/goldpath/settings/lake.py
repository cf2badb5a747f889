"""Where the lakehouse keeps its tables, and how much it may use."""

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from goldpath.settings.section import Section


class LakeSettings(Section):
    """Which lakehouse, and where the local one keeps its tables (relative to the project root)."""

    config_file: ClassVar[str] = "lake.yaml"

    backend: Literal["local", "aws"] = "local"
    catalog: str = "lake/catalog.db"
    warehouse: str = "lake/warehouse"
    memory: str = Field(
        default="1GB", description="what DuckDB may use before it writes to disk, such as 4GB"
    )
    rows_at_once: int = Field(
        default=2_000_000, ge=1, description="intervals are refined together up to so many rows"
    )
    snapshot_days: int = Field(
        default=30, ge=0, description="how long untagged snapshots are kept by data maintain"
    )
    privacy_key: SecretStr = Field(
        default=SecretStr(""),
        description="key of the hashes of erased persons; a random file in lake/privacy if empty",
    )
