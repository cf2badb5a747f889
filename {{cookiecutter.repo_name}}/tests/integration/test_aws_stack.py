"""`init-aws` against moto's server, and against scripted answers where moto differs from AWS.

Nothing here is AWS but the last test, which `pytest -m aws` runs. What moto's CloudFormation lacks
is in `tests/moto_cloudformation.py`. The scripted answers (botocore's stubber) are checked against
AWS's own description of the API, and so are the requests.
"""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
import yaml
from botocore.stub import ANY, Stubber

from {{ cookiecutter.package_name }}.services import aws_changes, aws_events
from {{ cookiecutter.package_name }}.services.aws_changes import StackChange
from {{ cookiecutter.package_name }}.services.aws_errors import AwsStackError
from {{ cookiecutter.package_name }}.services.aws_stack import (
    TEMPLATE,
    deploy,
    parameters,
    show_deployment,
)
from {{ cookiecutter.package_name }}.settings import AwsSettings, Settings, load_settings
from tests.conftest import make_project
from tests.moto_cloudformation import api, moto_server

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"


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


def with_template(settings: Settings, **changes: Any) -> Settings:
    assert settings.aws is not None
    file = settings.root / TEMPLATE
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / TEMPLATE, file)
    mark = uuid4().hex[:10]
    names = {
        "region": REGION,
        "bucket": f"lake-{mark}",
        "glue_database": f"lake_{mark}",
        "athena_workgroup": f"group-{mark}",
        "online_table": f"online-{mark}",
        "stack": f"stack-{mark}",
    }
    return with_aws(settings, **{**names, **changes})


def with_aws(settings: Settings, **changes: Any) -> Settings:
    assert settings.aws is not None
    values = {**settings.aws.model_dump(), **changes}
    return settings.model_copy(update={"aws": AwsSettings(**values)})


def aws_of(settings: Settings) -> AwsSettings:
    assert settings.aws is not None
    return settings.aws


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


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


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


def test_without_a_terminal_a_deployment_must_be_confirmed_by_an_option(
    stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    with pytest.raises(AwsStackError) as caught:
        deploy(stack)

    assert "ARGS=--yes" in caught.value.fix


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


def test_missing_credentials_are_explained(
    stack: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(AwsStackError, match="credentials") as caught:
        deploy(stack, dry_run=True)

    assert "AWS_PROFILE" in caught.value.fix


def test_a_region_that_does_not_answer_is_explained(
    stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "emulated")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "emulated")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(AwsStackError, match="does not answer in region us-east-1"):
        deploy(stack, dry_run=True)


# --- what moto does not do as AWS does: scripted answers ------------------------------------------

STACK_ID = f"arn:aws:cloudformation:{REGION}:123456789012:stack/lake/1"
CHANGE_SET_ID = f"arn:aws:cloudformation:{REGION}:123456789012:changeSet/init-aws-1/1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Script:
    """Answers of CloudFormation, in the order in which they are given."""

    def __init__(self, stack: str) -> None:
        self.client = boto3.client(
            "cloudformation",
            region_name=REGION,
            aws_access_key_id="scripted",
            aws_secret_access_key="scripted",
        )
        self.stubber = Stubber(self.client)
        self.stack = stack
        self.stubber.activate()

    def status(self, status: str | None, outputs: dict[str, str] | None = None) -> None:
        if status is None:
            self.stubber.add_client_error(
                "describe_stacks", "ValidationError", f"Stack with id {self.stack} does not exist"
            )
            return
        found = {
            "StackId": STACK_ID,
            "StackName": self.stack,
            "StackStatus": status,
            "CreationTime": NOW,
            "Outputs": [
                {"OutputKey": key, "OutputValue": value} for key, value in (outputs or {}).items()
            ],
        }
        self.stubber.add_response("describe_stacks", {"Stacks": [found]})

    def plan(self, kind: str, *states: dict[str, Any]) -> None:
        request = {
            "StackName": self.stack,
            "ChangeSetName": ANY,
            "ChangeSetType": kind,
            "TemplateBody": ANY,
            "Parameters": ANY,
            "Capabilities": ["CAPABILITY_IAM"],
            "Tags": ANY,
        }
        self.stubber.add_response(
            "create_change_set", {"Id": CHANGE_SET_ID, "StackId": STACK_ID}, request
        )
        for state in states:
            self.stubber.add_response("describe_change_set", state)

    def discarded(self, *, stack_too: bool) -> None:
        names = {"ChangeSetName": CHANGE_SET_ID, "StackName": STACK_ID}
        self.stubber.add_response("delete_change_set", {}, names)
        if stack_too:
            self.stubber.add_response("list_change_sets", {"Summaries": []})
            self.stubber.add_response("delete_stack", {}, {"StackName": STACK_ID})
            self.status("DELETE_IN_PROGRESS")
            self.status("DELETE_COMPLETE")

    def executed(self) -> None:
        names = {"ChangeSetName": CHANGE_SET_ID, "StackName": STACK_ID}
        self.stubber.add_response("execute_change_set", {}, names)

    def events(self, *events: dict[str, Any]) -> None:
        """One answer: the newest first, as AWS gives them."""
        self.stubber.add_response("describe_stack_events", {"StackEvents": list(events)[::-1]})


def event(number: int, resource: str, status: str, reason: str = "") -> dict[str, Any]:
    of_stack = resource == "lake"
    return {
        "StackId": STACK_ID,
        "EventId": str(number),
        "StackName": "lake",
        "LogicalResourceId": resource,
        "PhysicalResourceId": STACK_ID if of_stack else resource.lower(),
        "ResourceType": "AWS::CloudFormation::Stack" if of_stack else "AWS::S3::Bucket",
        "Timestamp": NOW,
        "ResourceStatus": status,
        **({"ResourceStatusReason": reason} if reason else {}),
    }


def planned(*changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "Status": "CREATE_COMPLETE",
        "ExecutionStatus": "AVAILABLE",
        "Changes": [{"Type": "Resource", "ResourceChange": change} for change in changes],
    }


ADDED = {
    "Action": "Add",
    "LogicalResourceId": "DataBucket",
    "ResourceType": "AWS::S3::Bucket",
}
LIMIT_CHANGED = {
    "Action": "Modify",
    "LogicalResourceId": "Workgroup",
    "PhysicalResourceId": "group",
    "ResourceType": "AWS::Athena::WorkGroup",
    "Replacement": "False",
}


@pytest.fixture
def script(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(aws_changes, "POLL_SECONDS", 0)
    monkeypatch.setattr(aws_events, "POLL_SECONDS", 0)
    script = Script(aws_of(stack).stack)
    yield script
    script.stubber.assert_no_pending_responses()


def test_the_change_that_only_a_setting_makes_is_shown(
    stack: Settings, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script.status("UPDATE_COMPLETE")
    script.plan("UPDATE", {"Status": "CREATE_IN_PROGRESS"}, planned(LIMIT_CHANGED))
    script.discarded(stack_too=False)

    plan = deploy(stack, dry_run=True, client=script.client)

    assert plan.changes == (StackChange("Modify", "Workgroup", "AWS::Athena::WorkGroup", "False"),)
    assert "AWS::Athena::WorkGroup" in capsys.readouterr().err


def test_changes_on_several_pages_are_all_shown(stack: Settings, script: Script) -> None:
    script.status("UPDATE_COMPLETE")
    script.plan("UPDATE", {**planned(ADDED), "NextToken": "2"}, planned(LIMIT_CHANGED))
    script.discarded(stack_too=False)

    plan = deploy(stack, dry_run=True, client=script.client)

    assert [change.logical_id for change in plan.changes] == ["DataBucket", "Workgroup"]


def test_a_creation_is_followed_to_its_end_and_gives_the_outputs(
    stack: Settings, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script.status(None)
    script.plan("CREATE", planned(ADDED))
    review = event(1, "lake", "REVIEW_IN_PROGRESS")
    script.events(review)
    script.executed()
    script.events(review)  # nothing has begun yet
    script.events(
        review,
        event(2, "lake", "CREATE_IN_PROGRESS"),
        event(3, "DataBucket", "CREATE_IN_PROGRESS"),
        event(4, "DataBucket", "CREATE_COMPLETE"),
    )
    script.events(event(4, "DataBucket", "CREATE_COMPLETE"), event(5, "lake", "CREATE_COMPLETE"))
    script.status("CREATE_COMPLETE", {"Bucket": "the-lake"})

    result = deploy(stack, yes=True, client=script.client)

    assert result.state == "created"
    assert result.outputs == {"Bucket": "the-lake"}
    assert "DataBucket: CREATE_COMPLETE" in capsys.readouterr().err


def test_a_change_set_without_changes_is_success_and_is_deleted(
    stack: Settings, script: Script
) -> None:
    script.status("CREATE_COMPLETE", {"Bucket": "the-lake"})
    reason = "The submitted information didn't contain changes. Submit different information."
    script.plan("UPDATE", {"Status": "FAILED", "StatusReason": reason})
    script.discarded(stack_too=False)

    result = deploy(stack, yes=True, client=script.client)

    assert result.state == "unchanged"
    assert result.outputs == {"Bucket": "the-lake"}


def test_a_dry_run_deletes_the_empty_stack_that_aws_makes_for_a_plan(
    stack: Settings, script: Script
) -> None:
    script.status(None)
    script.plan("CREATE", planned(ADDED))
    script.discarded(stack_too=True)

    assert deploy(stack, dry_run=True, client=script.client).state == "planned"


def test_an_empty_stack_that_somebody_else_reviews_is_not_deleted(
    stack: Settings, script: Script
) -> None:
    script.status("REVIEW_IN_PROGRESS")
    script.plan("CREATE", planned(ADDED))
    script.discarded(stack_too=False)
    theirs = {"StackId": STACK_ID, "ChangeSetId": CHANGE_SET_ID.replace("init-aws", "theirs")}
    script.stubber.add_response("list_change_sets", {"Summaries": [theirs]})

    assert deploy(stack, dry_run=True, client=script.client).state == "planned"


def test_a_plan_that_aws_refuses_leaves_nothing_behind(stack: Settings, script: Script) -> None:
    script.status(None)
    script.plan("CREATE", {"Status": "FAILED", "StatusReason": "Template error: no such resource"})
    script.discarded(stack_too=True)

    with pytest.raises(AwsStackError, match="no such resource"):
        deploy(stack, dry_run=True, client=script.client)


def test_a_failed_creation_names_the_first_reasons_and_the_way_out(
    stack: Settings, script: Script
) -> None:
    script.status(None)
    script.plan("CREATE", planned(ADDED))
    script.events()
    script.executed()
    script.events(
        event(1, "lake", "CREATE_IN_PROGRESS"),
        event(2, "DataBucket", "CREATE_FAILED", "the-lake already exists"),
        event(3, "LogsBucket", "CREATE_FAILED", "Resource creation cancelled"),
        event(4, "lake", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed: [DataBucket]"),
        event(5, "lake", "ROLLBACK_COMPLETE"),
    )

    with pytest.raises(AwsStackError) as caught:
        deploy(stack, yes=True, client=script.client)

    assert "DataBucket (AWS::S3::Bucket): the-lake already exists" in caught.value.message
    assert "cancelled" not in caught.value.message
    assert f"delete-stack --stack-name {aws_of(stack).stack}" in caught.value.fix


def test_a_failed_update_says_that_aws_changed_it_back(stack: Settings, script: Script) -> None:
    script.status("UPDATE_COMPLETE")
    script.plan("UPDATE", planned(LIMIT_CHANGED))
    script.events(event(1, "lake", "UPDATE_COMPLETE"))
    script.executed()
    script.events(
        event(1, "lake", "UPDATE_COMPLETE"),
        event(2, "Workgroup", "UPDATE_FAILED", "limit too small"),
        event(3, "lake", "UPDATE_ROLLBACK_COMPLETE"),
    )

    with pytest.raises(AwsStackError, match="limit too small") as caught:
        deploy(stack, yes=True, client=script.client)

    assert "keeps what was there before" in caught.value.fix


def test_a_stack_whose_creation_failed_is_explained(stack: Settings, script: Script) -> None:
    script.status("ROLLBACK_COMPLETE")
    script.events(
        event(1, "DataBucket", "CREATE_FAILED", "the-lake already exists"),
        event(2, "lake", "ROLLBACK_COMPLETE"),
    )

    with pytest.raises(AwsStackError, match=r"ROLLBACK_COMPLETE.*already exists") as caught:
        deploy(stack, yes=True, client=script.client)

    assert "delete-stack" in caught.value.fix


@pytest.mark.parametrize(
    ("status", "fix"),
    [("UPDATE_IN_PROGRESS", "wait"), ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback")],
)
def test_a_stack_that_cannot_be_updated_now_says_what_to_do(
    stack: Settings, script: Script, status: str, fix: str
) -> None:
    script.status(status)

    with pytest.raises(AwsStackError, match=status) as caught:
        deploy(stack, dry_run=True, client=script.client)

    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("code", "fix"),
    [("AccessDenied", "administers"), ("ExpiredToken", "sign in"), ("Throttling", "wait")],
)
def test_what_aws_refuses_is_explained(
    stack: Settings, script: Script, code: str, fix: str
) -> None:
    script.stubber.add_client_error("describe_stacks", code, "not you")

    with pytest.raises(AwsStackError, match=f"DescribeStacks .{code}.: not you") as caught:
        deploy(stack, dry_run=True, client=script.client)

    assert fix in caught.value.fix


# --- the template ---------------------------------------------------------------------------------


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as what they stand for."""


def short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {tag: loader.construct_scalar(node)}


Loader.add_multi_constructor("!", short_form)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((ROOT / TEMPLATE).read_text(), Loader)  # noqa: S506
    return loaded


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Every statement of every policy in the template."""
    if isinstance(value, dict):
        if "Statement" in value:
            yield from value["Statement"]
        for item in value.values():
            yield from statements(item)
    elif isinstance(value, list):
        for item in value:
            yield from statements(item)


def test_cfn_lint_finds_nothing() -> None:
    program = Path(sys.executable).with_name("cfn-lint")
    command = [str(program), "--include-checks", "I", "--template", str(ROOT / TEMPLATE)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


def test_the_template_is_small_enough_to_be_sent_with_the_request() -> None:
    assert (ROOT / TEMPLATE).stat().st_size < 51_200


def test_every_parameter_of_the_template_comes_from_the_settings(
    template: dict[str, Any], stack: Settings
) -> None:
    assert set(parameters(aws_of(stack))) == set(template["Parameters"])


def test_settings_and_template_have_the_same_defaults(
    template: dict[str, Any], project: Settings
) -> None:
    given = parameters(aws_of(project))
    defaults = {
        name: str(parameter["Default"])
        for name, parameter in template["Parameters"].items()
        if "Default" in parameter
    }

    assert defaults == {name: given[name] for name in defaults}


def test_nobody_is_allowed_everything(template: dict[str, Any]) -> None:
    allowed = [s for s in statements(template["Resources"]) if s["Effect"] == "Allow"]
    of_key = template["Resources"]["DataKey"]["Properties"]["KeyPolicy"]["Statement"]

    assert len(allowed) > 20
    for statement in (s for s in allowed if s not in of_key):
        assert not any("*" in action for action in as_list(statement["Action"]))
        assert "*" not in str(statement.get("Principal", ""))
        if "Resource" in statement:
            listed = statement["Resource"]
            assert "*" not in (listed if isinstance(listed, list) else [listed])


def test_the_only_wildcard_resource_is_the_keys_own_and_is_explained() -> None:
    lines = (ROOT / TEMPLATE).read_text(encoding="utf-8").splitlines()
    wild = [n for n, line in enumerate(lines) if line.strip() in ('Resource: "*"', "Action: kms:*")]

    assert len(wild) == 2
    assert all(lines[number - 1].strip().startswith("#") for number in wild)


@pytest.mark.parametrize("resource", ["DataKey", "DataBucket", "LogsBucket", "LakeDatabase"])
def test_deleting_the_stack_does_not_delete_data(template: dict[str, Any], resource: str) -> None:
    # With plain Retain, a creation that fails would leave a bucket that blocks the next one.
    assert template["Resources"][resource]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert template["Resources"][resource]["UpdateReplacePolicy"] == "Retain"


# --- the real AWS ---------------------------------------------------------------------------------


@pytest.mark.aws
def test_a_dry_run_in_the_account_of_the_environment_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    region = aws_of(load_settings(ROOT)).region
    settings = with_template(make_project(tmp_path), region=region)

    plan = deploy(settings, dry_run=True)

    client = boto3.client("cloudformation", region_name=region)
    assert plan.state == "planned"
    assert StackChange("Add", "DataBucket", "AWS::S3::Bucket", "") in plan.changes
    with pytest.raises(client.exceptions.ClientError, match="does not exist"):
        client.describe_stacks(StackName=aws_of(settings).stack)
