"""The lakehouse that the settings name."""

from goldpath.lake.lakehouse import Lakehouse
from goldpath.settings import Settings


def open_lakehouse(settings: Settings) -> Lakehouse:
    """The lake in the project's folder, or the one on AWS: `lake.backend` decides."""
    if settings.lake.backend == "aws":
        from goldpath.lake.athena.lakehouse import AwsLakehouse

        return AwsLakehouse(settings)
    from goldpath.lake.local_lakehouse import LocalLakehouse

    return LocalLakehouse(settings)
