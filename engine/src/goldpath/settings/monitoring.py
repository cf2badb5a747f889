"""The drift check, and the ports of Prometheus and Grafana."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, model_validator

from goldpath.settings.section import Section

WindowLength = Literal["1h", "1d", "1w", "1mo"]
Season = Literal["none", "hour", "weekend", "weekday", "month"]

TELLS_APART: dict[WindowLength, tuple[Season, ...]] = {
    "1h": ("none", "hour", "weekend", "weekday", "month"),
    "1d": ("none", "weekend", "weekday", "month"),
    "1w": ("none", "month"),
    "1mo": ("none", "month"),
}
"""Seasons that windows of a length can belong to."""

USUAL_SEASON: dict[WindowLength, Season] = {
    "1h": "none",
    "1d": "weekend",
    "1w": "none",
    "1mo": "none",
}


class MonitoringSettings(Section):
    """Drift checks, and the local Prometheus."""

    config_file: ClassVar[str] = "monitoring.yaml"

    window: WindowLength = Field(
        default="1d",
        description="how long a window is, in UTC; a version keeps the one it was trained with",
    )
    season: Season | None = Field(
        default=None,
        description="which windows are alike; where not given weekend for 1d, none for the others",
    )
    alpha: float = Field(
        default=0.01,
        gt=0,
        le=0.2,
        description="share of windows without drift that may be an alarm",
    )
    minimum_rows: int = Field(
        default=200, ge=20, description="a window with fewer rows gets no verdict"
    )
    effect_floor: float = Field(
        default=0.1,
        gt=0,
        description="smallest shift that counts: sd of a number, JS of a category",
    )
    floors: dict[str, PositiveFloat] = Field(
        default_factory=dict, description="other floors, by column"
    )
    false_discovery_rate: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="of the gate's check of test rows against training rows",
    )
    reference_rows: int = Field(default=20_000, ge=1000)
    report_rows: int = Field(default=5_000, ge=500)
    prometheus_port: int = Field(default=9090, ge=1, le=65535)
    grafana_port: int = Field(default=3000, ge=1, le=65535)

    @property
    def usual_season(self) -> Season:
        """The season that is compared: the one that is set, or the usual one of the window."""
        return self.season or USUAL_SEASON[self.window]

    @model_validator(mode="after")
    def _fit_together(self) -> "MonitoringSettings":
        allowed = TELLS_APART[self.window]
        if self.usual_season not in allowed:
            raise ValueError(
                f"windows of {self.window} have no season {self.season!r}; choose one of: "
                f"{', '.join(allowed)}"
            )
        return self
