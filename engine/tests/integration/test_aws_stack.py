"""`init-aws` against moto's server; the last test, which `pytest -m aws` runs, is against AWS.

What moto's CloudFormation lacks is in `tests/moto_cloudformation.py`. Where it differs from AWS all
the same, `tests/unit/test_aws_stack.py` scripts AWS's answers.
"""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from goldpath.services.aws_changes import StackChange
from goldpath.services.aws_errors import AwsStackError
from goldpath.services.aws_stack import TEMPLATE, deploy, show_deployment
from goldpath.settings import AwsSettings, Settings, load_settings

from ..conftest import make_project
from ..locations import PROJECT
from ..moto_cloudformation import api, moto_server
from ..stack_project import as_list, aws_of, with_aws, with_template

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def emulated(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment that sends the SDK to moto, and to no account of the person who tests."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "emulated")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "emulated")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return server


@pytest.fixture
def stack(project: Settings) -> Settings:
    """A project with the template, and with names that no other test has."""
    return with_template(project)


def live_stacks() -> set[str]:
    summaries = api("cloudformation").list_stacks()["StackSummaries"]
    return {s["StackName"] for s in summaries if s["StackStatus"] != "DELETE_COMPLETE"}


def change_sets() -> set[str]:
    answer = api("cloudformation").list_change_sets(StackName="any")  # moto lists those of all
    return {summary["ChangeSetId"] for summary in answer.get("Summaries", [])}


def events_of(stack: str) -> int:
    return len(api("cloudformation").describe_stack_events(StackName=stack)["StackEvents"])


# --- what is made --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deployed(server: str, tmp_path_factory: pytest.TempPathFactory) -> AwsSettings:
    """A stack that was deployed once; tests only look at it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", server),
            ("AWS_ACCESS_KEY_ID", "emulated"),
            ("AWS_SECRET_ACCESS_KEY", "emulated"),
        ):
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        settings = with_template(
            make_project(tmp_path_factory.mktemp("deployed")), scan_limit_gb=2.5, recovery_days=9
        )
        result = deploy(settings, yes=True)
    assert result.state == "created"
    assert {change.action for change in result.changes} == {"Add"}
    return aws_of(settings)


def test_the_bucket_is_encrypted_with_the_stacks_own_key(deployed: AwsSettings) -> None:
    answer = api("s3").get_bucket_encryption(Bucket=deployed.bucket)
    (rule,) = answer["ServerSideEncryptionConfiguration"]["Rules"]
    default = rule["ApplyServerSideEncryptionByDefault"]
    key = api("kms").describe_key(KeyId=f"alias/{deployed.stack}")["KeyMetadata"]

    assert default == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]}
    assert rule["BucketKeyEnabled"] is True
    assert api("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is True


def test_the_bucket_keeps_versions_and_lets_them_expire(deployed: AwsSettings) -> None:
    s3 = api("s3")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=deployed.bucket)["Rules"]
    rule = {rule["ID"]: rule for rule in rules}

    assert s3.get_bucket_versioning(Bucket=deployed.bucket)["Status"] == "Enabled"
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    assert rule["everything"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 9
    assert rule["everything"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 2
    assert "Days" not in rule["everything"]["Expiration"]  # what is current stays
    assert rule["staged-rows"]["Filter"]["Prefix"] == "staging/"
    assert rule["staged-rows"]["Expiration"]["Days"] == deployed.staging_days
    assert rule["query-results"]["Filter"]["Prefix"] == "athena-results/"
    assert rule["query-results"]["Expiration"]["Days"] == deployed.result_days


def test_neither_bucket_can_become_public_or_be_read_without_tls(deployed: AwsSettings) -> None:
    s3 = api("s3")
    logs = s3.get_bucket_logging(Bucket=deployed.bucket)["LoggingEnabled"]["TargetBucket"]
    for bucket in (deployed.bucket, logs):
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        tls = next(s for s in policy["Statement"] if s["Sid"] == "DenyWithoutTls")

        assert set(block.values()) == {True}
        assert tls["Effect"] == "Deny"
        assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert tls["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


def test_the_glue_database_is_there(deployed: AwsSettings) -> None:
    database = api("glue").get_database(Name=deployed.glue_database)["Database"]

    assert database["LocationUri"] == f"s3://{deployed.bucket}/lake/"


def test_the_workgroup_limits_scans_and_decides_where_results_go(deployed: AwsSettings) -> None:
    group = api("athena").get_work_group(WorkGroup=deployed.athena_workgroup)["WorkGroup"]
    configuration = group["Configuration"]
    results = configuration["ResultConfiguration"]

    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == 2_500_000_000
    assert configuration["PublishCloudWatchMetricsEnabled"] is True
    assert results["OutputLocation"] == f"s3://{deployed.bucket}/athena-results/"
    assert results["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"


def test_the_online_table_is_encrypted_and_can_be_recovered(deployed: AwsSettings) -> None:
    dynamodb = api("dynamodb")
    table = dynamodb.describe_table(TableName=deployed.online_table)["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=deployed.online_table)
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]

    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSEDescription"]["SSEType"] == "KMS"
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


def test_the_roles_reach_only_the_resources_of_the_stack(deployed: AwsSettings) -> None:
    policies = roles_of(deployed)

    assert set(policies) == {"PipelineRole", "ServingRole", "ReaderRole"}
    names = (
        deployed.bucket,
        deployed.glue_database,
        deployed.athena_workgroup,
        deployed.online_table,
    )
    for statements in policies.values():
        for resource in (r for s in statements for r in as_list(s["Resource"])):
            known = any(name in resource for name in names)
            assert (
                known or ":key/" in resource or resource.endswith((":catalog", ":database/default"))
            )


def test_only_the_pipeline_writes_to_the_lake(deployed: AwsSettings) -> None:
    policies = roles_of(deployed)

    assert f"arn:aws:s3:::{deployed.bucket}/lake/*" in resources(policies, "s3:PutObject")
    writing = ("Put", "Delete", "Create", "Update", "BatchWrite")
    for role in ("ServingRole", "ReaderRole"):
        changes = {
            (action, resource)
            for statement in policies[role]
            for action in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])
            if action.split(":")[1].startswith(writing)
        }
        own_results = ("s3:PutObject", f"arn:aws:s3:::{deployed.bucket}/athena-results/*")
        assert changes == ({own_results} if role == "ReaderRole" else set())


def roles_of(aws: AwsSettings) -> dict[str, list[dict[str, Any]]]:
    """The statements of each role's policies, by its name in the template."""
    iam = api("iam")
    found: dict[str, list[dict[str, Any]]] = {}
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            name = role["RoleName"]
            if not name.startswith(f"{aws.stack}-"):
                continue
            found[name.removeprefix(f"{aws.stack}-").split("-")[0]] = [
                statement
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
                for statement in policy_of(iam, name, policy)
            ]
    return found


def policy_of(iam: Any, role: str, policy: str) -> list[dict[str, Any]]:
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    statements: list[dict[str, Any]] = document["Statement"]
    return statements


def resources(policies: dict[str, list[dict[str, Any]]], action: str) -> set[str]:
    return {
        resource
        for statement in policies["PipelineRole"]
        if action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


# --- deploying, again and differently ------------------------------------------------------------


def test_a_second_deployment_changes_nothing(emulated: str, stack: Settings) -> None:
    deploy(stack, yes=True)
    sets, events = change_sets(), events_of(aws_of(stack).stack)

    again = deploy(stack, yes=True)

    assert again.state == "unchanged"
    assert again.changes == ()
    assert change_sets() == sets
    assert events_of(aws_of(stack).stack) == events


def test_a_dry_run_leaves_nothing_behind(emulated: str, stack: Settings) -> None:
    stacks, sets = live_stacks(), change_sets()

    plan = deploy(stack, dry_run=True)

    assert plan.state == "planned"
    assert StackChange("Add", "DataBucket", "AWS::S3::Bucket", "") in plan.changes
    assert live_stacks() == stacks
    assert change_sets() == sets
    buckets = {bucket["Name"] for bucket in api("s3").list_buckets()["Buckets"]}
    assert aws_of(stack).bucket not in buckets


def test_a_dry_run_of_a_change_leaves_the_stack_as_it_is(emulated: str, stack: Settings) -> None:
    deploy(stack, yes=True)
    sets = change_sets()
    change_description_of_workgroup(stack)

    plan = deploy(stack, dry_run=True)

    assert plan.state == "planned"
    assert [(c.action, c.logical_id) for c in plan.changes] == [("Modify", "Workgroup")]
    assert change_sets() == sets
    assert aws_of(stack).stack in live_stacks()
    assert description_of_workgroup(stack).startswith("Queries")


def test_a_changed_template_changes_that_resource(emulated: str, stack: Settings) -> None:
    deploy(stack, yes=True)
    change_description_of_workgroup(stack)

    result = deploy(stack, yes=True)

    assert result.state == "updated"
    assert [(c.action, c.logical_id) for c in result.changes] == [("Modify", "Workgroup")]
    assert description_of_workgroup(stack).startswith("Other queries")


def test_a_changed_setting_reaches_the_resource_though_motos_change_set_does_not_list_it(
    emulated: str, stack: Settings
) -> None:
    deploy(stack, yes=True)

    result = deploy(with_aws(stack, scan_limit_gb=5), yes=True)

    group = api("athena").get_work_group(WorkGroup=aws_of(stack).athena_workgroup)["WorkGroup"]
    assert result.state == "updated"
    assert group["Configuration"]["BytesScannedCutoffPerQuery"] == 5_000_000_000


def test_the_online_store_can_be_left_out(emulated: str, stack: Settings) -> None:
    deploy(with_aws(stack, online_store=False), yes=True)

    assert aws_of(stack).online_table not in api("dynamodb").list_tables()["TableNames"]


def test_a_bucket_that_exists_is_named_in_the_error(emulated: str, stack: Settings) -> None:
    api("s3").create_bucket(Bucket=aws_of(stack).bucket)

    with pytest.raises(AwsStackError, match="BucketAlready") as caught:
        deploy(stack, yes=True)

    assert "config/aws_config.yaml" in caught.value.fix


def change_description_of_workgroup(settings: Settings) -> None:
    file = settings.root / TEMPLATE
    text = file.read_text(encoding="utf-8")
    assert text.count("!Sub Queries on the lake") == 1
    file.write_text(text.replace("!Sub Queries on", "!Sub Other queries on"), encoding="utf-8")


def description_of_workgroup(settings: Settings) -> str:
    name = aws_of(settings).athena_workgroup
    return str(api("athena").get_work_group(WorkGroup=name)["WorkGroup"]["Description"])


# --- asking first ---------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_nothing_is_deployed_unless_somebody_agrees(
    emulated: str, stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks, sets = live_stacks(), change_sets()
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))

    declined = deploy(stack)

    assert declined.state == "planned"
    assert declined.message == "Nothing was changed."
    assert live_stacks() == stacks
    assert change_sets() == sets


def test_somebody_who_agrees_gets_the_stack(
    emulated: str, stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))

    assert deploy(stack).state == "created"


def test_the_result_is_one_json_object_with_every_change(
    emulated: str, stack: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    show_deployment(deploy(stack, dry_run=True), as_json=True)

    printed = json.loads(capsys.readouterr().out)
    assert printed["state"] == "planned"
    assert {
        "action": "Add",
        "logical_id": "DataBucket",
        "resource_type": "AWS::S3::Bucket",
        "replacement": "",
    } in printed["changes"]


# --- the real AWS ---------------------------------------------------------------------------------


@pytest.mark.aws
def test_a_dry_run_in_the_account_of_the_environment_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    region = aws_of(load_settings(PROJECT)).region
    settings = with_template(make_project(tmp_path), region=region)

    plan = deploy(settings, dry_run=True)

    client = boto3.client("cloudformation", region_name=region)
    assert plan.state == "planned"
    assert StackChange("Add", "DataBucket", "AWS::S3::Bucket", "") in plan.changes
    with pytest.raises(client.exceptions.ClientError, match="does not exist"):
        client.describe_stacks(StackName=aws_of(settings).stack)
