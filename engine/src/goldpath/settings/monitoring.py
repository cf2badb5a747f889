"""The drift check, who is told of alerts, when a model is trained again, and the local servers."""

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, SecretStr, model_validator

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


class AlertRoute(Section):
    """One way of telling somebody, for all alerts or for some."""

    to: Literal["slack", "teams", "email", "webhook"]
    address: str = Field(default="", description="of an e-mail: whom it is sent to")
    alerts: tuple[str, ...] = Field(default=(), description="names of alerts; all where empty")
    severity: Literal["critical", "warning"] | None = Field(
        default=None, description="only alerts of this severity"
    )

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if (self.to == "email") != bool(self.address):
            raise ValueError(
                f"to: {self.to} with the address {self.address!r}; write "
                "{to: email, address: team@example.com}; the other ways have no address here, "
                "theirs are variables"
            )
        if "\n" in self.address or (self.to == "email" and "@" not in self.address):
            raise ValueError(f"{self.address!r} is no e-mail address")
        return self


class AlertSettings(Section):
    """Who is told of an alert, and how. What is secret comes from the environment."""

    routes: tuple[AlertRoute, ...] = Field(default=(), description="who is told; nobody if empty")
    owners: dict[str, str] = Field(
        default_factory=dict, description="by alert: whom its message names"
    )
    runbooks: str = Field(
        default="", description="address of this repository's files, before docs/monitoring.md"
    )
    repeat_hours: float = Field(
        default=24, gt=0, description="an incident that lasts is told again after this"
    )
    slack_url: SecretStr = Field(default=SecretStr(""), description="Slack's incoming webhook")
    teams_url: SecretStr = Field(default=SecretStr(""), description="a workflow of Teams")
    webhook_url: SecretStr = Field(
        default=SecretStr(""), description="is sent Alertmanager's own JSON"
    )
    smtp_server: str = Field(default="", description="host:port that takes e-mails")
    smtp_from: str = Field(default="", description="the sender of e-mails")
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")


class RetrainSettings(Section):
    """When an alert of drift, or of lost quality, makes the model be trained again."""

    automatic: bool = Field(
        default=True, description="whether an alert asks for it; off: only `retrain` by hand"
    )
    cooldown_hours: float = Field(
        default=168, ge=0, description="time that must have passed since the last retraining"
    )
    budget: int = Field(default=4, ge=0, description="retrainings within budget_days")
    budget_days: float = Field(default=30, gt=0)
    minimum_rows: int = Field(
        default=200, ge=1, description="labelled rows that the champion was not trained on"
    )


class MonitoringSettings(Section):
    """Drift checks, alerts and what they set off, and the local servers that watch."""

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
        default=0.006,
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
    calibration_error_limit: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="a version with a larger calibration error on its test rows gets no estimate "
        "of quality without labels",
    )
    reference_rows: int = Field(default=20_000, ge=1000)
    report_rows: int = Field(default=5_000, ge=500)
    prometheus_port: int = Field(default=9090, ge=1, le=65535)
    grafana_port: int = Field(default=3000, ge=1, le=65535)
    alertmanager_port: int = Field(default=9093, ge=1, le=65535)
    receiver_port: int = Field(
        default=9095, ge=1, le=65535, description="takes alerts to pass on, and retrains"
    )
    page: bool = Field(
        default=True,
        description="whether monitoring-up starts the monitoring page, which every account of "
        "the machine can read",
    )
    page_port: int = Field(
        default=9096, ge=1, le=65535, description="the monitoring page, where there is no Grafana"
    )
    alerts: AlertSettings = AlertSettings()
    retrain: RetrainSettings = RetrainSettings()

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
