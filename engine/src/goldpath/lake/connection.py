"""The lakehouse that the settings name."""

from goldpath.lake.lakehouse import Lakehouse
from goldpath.settings import Settings


def open_lakehouse(settings: Settings) -> Lakehouse:
    """The lake in the project's folder, or the one on AWS: `lake.backend` decides.

    Args:
        settings: Their section `lake` says where its Iceberg tables are.

    Returns:
        The lake. `read` gives a table as an Ibis expression, `collect` computes one as Arrow.

    Raises:
        LakehouseError: If the catalog cannot be opened.

    Example:
        >>> import ibis
        >>> from goldpath import load_settings, open_lakehouse
        >>> lake = open_lakehouse(load_settings())
        >>> gold = next(table for table in lake.tables() if table.layer == "gold")
        >>> str(gold)
        'gold.customer_churn'
        >>> by_label = lake.read(gold).group_by("churned").aggregate(rows=ibis._.count())
        >>> lake.collect(by_label).column_names
        ['churned', 'rows']
    """
    if settings.lake.backend == "aws":
        from goldpath.lake.athena.lakehouse import AwsLakehouse

        return AwsLakehouse(settings)
    from goldpath.lake.local.lakehouse import LocalLakehouse

    return LocalLakehouse(settings)
