"""The names of the AWS resources."""

from typing import ClassVar

from pydantic import Field

from goldpath.settings.section import Section


class AwsSettings(Section):
    """Names of the AWS resources; nothing here is used on a laptop.

    Example:
        >>> from goldpath import AwsSettings
        >>> aws = AwsSettings(
        ...     region="us-east-1", bucket="churn", glue_database="churn", athena_workgroup="churn"
        ... )
        >>> aws.model_copy(update={"bucket": "churn-staging"}).bucket
        'churn-staging'
    """

    config_file: ClassVar[str] = "aws_config.yaml"

    region: str = Field(description="such as us-east-1")
    bucket: str = Field(description="S3 bucket of the tables and of Athena's results")
    glue_database: str = Field(description="Glue database that the tables are registered in")
    athena_workgroup: str = Field(description="Athena workgroup that queries run in")
    stack: str = Field(
        default="mlops-lake",
        pattern=r"^[a-zA-Z][a-zA-Z0-9-]{0,127}$",
        description="CloudFormation stack that init-aws makes them with",
    )
    online_table: str = Field(
        default="mlops-online", description="DynamoDB table of the online feature store"
    )
    online_store: bool = Field(default=True, description="whether init-aws makes that table")
    scan_limit_gb: float = Field(
        default=100, ge=0.01, description="Athena stops a query that scans more"
    )
    recovery_days: int = Field(
        default=14, ge=1, le=35, description="how long what was deleted can be brought back"
    )
    staging_days: int = Field(default=3, ge=1)
    result_days: int = Field(default=7, ge=1)
    log_days: int = Field(default=90, ge=1)
