"""The lakehouse that the settings name."""

from ..settings import Settings
from .lakehouse import Lakehouse


def open_lakehouse(settings: Settings) -> Lakehouse:
    """The lake in the project's folder, or the one on AWS: `lake.backend` decides."""
    if settings.lake.backend == "aws":
        from .aws_integration import AwsLakehouse

        return AwsLakehouse(settings)
    from .local_lakehouse import LocalLakehouse

    return LocalLakehouse(settings)
