"""Each environment has a lake of its own on AWS."""

from {{ cookiecutter.package_name }}.data import aws_integration

from conftest import Workplace


def test_production_has_a_lake_of_its_own(workplace: Workplace) -> None:
    aws = workplace.settings.aws
    assert aws is not None
    assert aws_integration.names(aws, "development") == aws
    production = aws_integration.names(aws, "production")
    assert production.bucket == f"{aws.bucket}-production"
    assert production.glue_database == f"{aws.glue_database}_production"
