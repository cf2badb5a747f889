"""`init-aws` without a server: what CloudFormation may answer, and the template itself.

The answers are scripted with botocore's stubber, which checks them, and the requests, against AWS's
own description of the API. They stand in where moto differs from AWS.
"""

import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.stub import ANY, Stubber

from goldpath.services import aws_changes, aws_events
from goldpath.services.aws_changes import StackChange
from goldpath.services.aws_errors import AwsStackError
from goldpath.services.aws_stack import TEMPLATE, deploy, parameters
from goldpath.settings import Settings

from ..locations import PROJECT
from ..stack_project import REGION, as_list, aws_of, with_template


@pytest.fixture
def stack(project: Settings) -> Settings:
    """A project with the template, and with names of its own."""
    return with_template(project)


def test_without_a_terminal_a_deployment_must_be_confirmed_by_an_option(
    stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    with pytest.raises(AwsStackError) as caught:
        deploy(stack)

    assert "ARGS=--yes" in caught.value.fix


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


# --- scripted answers ---------------------------------------------------------------------------

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
    loaded: dict[str, Any] = yaml.load((PROJECT / TEMPLATE).read_text(), Loader)  # noqa: S506
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
    command = [str(program), "--include-checks", "I", "--template", str(PROJECT / TEMPLATE)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


def test_the_template_is_small_enough_to_be_sent_with_the_request() -> None:
    assert (PROJECT / TEMPLATE).stat().st_size < 51_200


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
    lines = (PROJECT / TEMPLATE).read_text(encoding="utf-8").splitlines()
    wild = [n for n, line in enumerate(lines) if line.strip() in ('Resource: "*"', "Action: kms:*")]

    assert len(wild) == 2
    assert all(lines[number - 1].strip().startswith("#") for number in wild)


@pytest.mark.parametrize("resource", ["DataKey", "DataBucket", "LogsBucket", "LakeDatabase"])
def test_deleting_the_stack_does_not_delete_data(template: dict[str, Any], resource: str) -> None:
    # With plain Retain, a creation that fails would leave a bucket that blocks the next one.
    assert template["Resources"][resource]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert template["Resources"][resource]["UpdateReplacePolicy"] == "Retain"
