"""The prediction log and the labels that come back."""

from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator

from goldpath.settings.section import Section


class PredictionLogSettings(Section):
    """The prediction log and the labels that come back: segments, and where they are sent."""

    config_file: ClassVar[str] = "prediction_log.yaml"

    required: bool = Field(
        default=False, description="answer 503 where a prediction cannot be logged"
    )
    segment_mb: float = Field(default=64, gt=0, description="a larger segment is sealed")
    segment_seconds: float = Field(default=3600, gt=0, description="an older segment is sealed")
    sync_seconds: float = Field(
        default=1, ge=0, description="how often lines are put on disk; 0: when the system wants to"
    )
    feedback: str = Field(default="logs/feedback", description="folder of the labels' segments")
    retention_days: int = Field(
        default=0, ge=0, description="older predictions and labels leave the lake; 0: never"
    )
    performance_days: int = Field(
        default=30, ge=1, description="days of predictions that live performance is taken over"
    )
    quality_drop: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="live quality may be worse than in the test by this share of it",
    )
    stream: Literal["none", "kafka", "kinesis"] = "none"
    stream_name: str = Field(default="predictions", description="Kafka's topic, Kinesis' stream")
    kafka_servers: str = Field(default="", description="host:port, several with commas")
    stream_options: dict[str, SecretStr] = Field(
        default={}, description="of librdkafka, such as security.protocol and sasl.password"
    )

    @model_validator(mode="after")
    def require_servers(self) -> Self:
        """Kafka needs an address.

        Raises:
            ValueError: If there is none.
        """
        if self.stream == "kafka" and not self.kafka_servers:
            raise ValueError("stream is kafka, but kafka_servers is empty: set it to host:port")
        return self
