"""The names of this project's resources on AWS."""

from goldpath import AwsSettings


def names(aws: AwsSettings, environment: str) -> AwsSettings:
    """Give each environment a lake of its own, so that staging never writes into production's.

    Args:
        aws: The names in `config/aws_config.yaml`; development uses them as they are.
        environment: development, staging or production (`MLOPS_ENVIRONMENT`).
    """
    if environment == "development":
        return aws
    return aws.model_copy(
        update={
            "bucket": f"{aws.bucket}-{environment}",
            "glue_database": f"{aws.glue_database}_{environment}",
            "athena_workgroup": f"{aws.athena_workgroup}-{environment}",
            "online_table": f"{aws.online_table}-{environment}",
            "stack": f"{aws.stack}-{environment}",
        }
    )
