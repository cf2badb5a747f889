"""The AWS resources of the lake: one CloudFormation stack, planned, shown and deployed.

What the resources are is in `infra/aws/data.yaml`; their names and limits are `settings.aws`.
Nothing happens before the changes were shown, and a dry run takes back all that it made.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from goldpath.presentation import as_plain, progress_console, show, step
from goldpath.services.aws_changes import ChangeSet, StackChange, plan_changes, print_changes
from goldpath.services.aws_errors import AwsStackError, aws_errors_explained, is_missing
from goldpath.services.aws_events import StackEvents
from goldpath.settings import AwsSettings, Settings

TEMPLATE = Path("infra") / "aws" / "data.yaml"
# A stack that was never completely created cannot be updated, only deleted.
DEAD = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")

State = Literal["created", "updated", "unchanged", "planned"]


@dataclass(frozen=True)
class StackDeployment:
    """What became of the stack.

    Attributes:
        stack: Its name.
        region: Its region.
        state: `planned` where the changes were shown and not executed.
        changes: The changes, in CloudFormation's order.
        outputs: The resources' names and ARNs; none where the stack does not exist.
        message: What to do next.
    """

    stack: str
    region: str
    state: State
    changes: tuple[StackChange, ...]
    outputs: Mapping[str, str]
    message: str


def deploy(
    settings: Settings, *, dry_run: bool = False, yes: bool = False, client: Any = None
) -> StackDeployment:
    """Bring the stack to what the template and the settings say; a second call changes nothing.

    Args:
        settings: Names the resources (`aws`) and the folder with the template.
        dry_run: Show the changes and leave nothing behind.
        yes: Do not ask before the changes are executed.
        client: The SDK's CloudFormation client; made from the settings where not given.

    Returns:
        The changes and the stack's outputs.

    Raises:
        AwsStackError: If the account cannot be reached or refuses, the stack is in a state that
            only a person can mend, or a resource fails; names the first failures.
    """
    aws = settings.aws
    if aws is None:
        raise AwsStackError(
            "there are no names for the AWS resources", "write config/aws_config.yaml: `docs aws`"
        )
    if not dry_run and not yes and not sys.stdin.isatty():
        raise AwsStackError(
            "nobody can be asked whether to execute the changes",
            "look at them with make init-aws ARGS=--dry-run, then make init-aws ARGS=--yes",
        )
    file = settings.root / TEMPLATE
    if not file.is_file():
        raise AwsStackError(f"there is no {TEMPLATE}", "restore it from git")
    template = file.read_text(encoding="utf-8")
    with aws_errors_explained(aws.region):
        if client is None:
            import boto3

            # A session of its own: the SDK's default one keeps the credentials that it found first.
            client = boto3.Session(region_name=aws.region).client("cloudformation")
        return _deploy(client, aws, template, dry_run=dry_run, yes=yes)


def show_deployment(deployment: StackDeployment, as_json: bool) -> None:
    """Print the result; people saw the table of changes before, and get their number."""
    if as_json:
        return show(deployment, as_json)
    return show({**as_plain(deployment), "changes": len(deployment.changes)}, as_json)


def parameters(aws: AwsSettings) -> dict[str, str]:
    """The template's parameters, as CloudFormation wants them: all of them text."""
    return {
        "BucketName": aws.bucket,
        "GlueDatabaseName": aws.glue_database,
        "AthenaWorkgroupName": aws.athena_workgroup,
        "ScanLimitBytes": str(round(aws.scan_limit_gb * 1e9)),
        "StagingDays": str(aws.staging_days),
        "ResultDays": str(aws.result_days),
        "RecoveryDays": str(aws.recovery_days),
        "LogDays": str(aws.log_days),
        "OnlineStore": str(aws.online_store).lower(),
        "OnlineTableName": aws.online_table,
    }


def _deploy(
    client: Any, aws: AwsSettings, template: str, *, dry_run: bool, yes: bool
) -> StackDeployment:
    before = _describe(client, aws.stack)
    # A stack that is only being reviewed holds nothing yet: it is what a first change set makes.
    creates = before is None or before["StackStatus"] == "REVIEW_IN_PROGRESS"
    if before is not None and not creates:
        _require_updatable(client, aws, before)

    def result(
        state: State, changes: tuple[StackChange, ...], stack: Mapping[str, Any] | None, then: str
    ) -> StackDeployment:
        outputs = {o["OutputKey"]: o["OutputValue"] for o in (stack or {}).get("Outputs", [])}
        return StackDeployment(aws.stack, aws.region, state, changes, outputs, then)

    step(f"Planning stack {aws.stack} in {aws.region}")
    plan = plan_changes(client, aws.stack, template, parameters(aws), creates=creates)
    if plan is None:
        return result("unchanged", (), before, "The stack is as the settings say.")
    executed = False
    try:
        changes = plan.changes()
        if changes is None:
            return result("unchanged", (), before, "The stack is as the settings say.")
        print_changes(changes)
        if dry_run:
            return result("planned", changes, before, "Execute them with: make init-aws")
        if not yes and not _agreed():
            return result("planned", changes, before, "Nothing was changed.")
        events = StackEvents(client, plan.stack_id)
        events.unseen()  # what happened so far is not this deployment's
        executed = True
        plan.execute()
    finally:
        if not executed:
            _discard(client, plan)
    status = events.wait_for_end()
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise AwsStackError(
            f"stack {aws.stack} ended in {status}: {'; '.join(events.first_failures())}",
            f"mend the reason, then {_deleting(aws)}"
            if creates
            else "mend the reason and run make init-aws again; AWS keeps what was there before",
        )
    return result(
        "created" if creates else "updated",
        changes,
        _describe(client, plan.stack_id),
        "Use it with MLOPS_LAKE__BACKEND=aws. How to delete it: `docs aws`",
    )


def _describe(client: Any, name: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        stacks: list[dict[str, Any]] = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    # A deleted stack is still found by its ARN.
    return None if stacks[0]["StackStatus"] == "DELETE_COMPLETE" else stacks[0]


def _require_updatable(client: Any, aws: AwsSettings, stack: Mapping[str, Any]) -> None:
    found = f"stack {aws.stack} is in {stack['StackStatus']}"
    if stack["StackStatus"] in DEAD:
        events = StackEvents(client, stack["StackId"])
        events.unseen()
        reasons = "; ".join(events.first_failures())
        raise AwsStackError(f"{found}, which cannot be updated: {reasons}", _deleting(aws))
    if stack["StackStatus"].endswith("_IN_PROGRESS"):
        raise AwsStackError(
            f"{found}: another deployment is under way",
            "wait for its end, then run make init-aws again",
        )
    if stack["StackStatus"].endswith("_FAILED"):
        raise AwsStackError(
            f"{found}: AWS could neither change it nor change it back",
            "mend what its events name, then: aws cloudformation continue-update-rollback "
            f"--stack-name {aws.stack} --region {aws.region}",
        )


def _deleting(aws: AwsSettings) -> str:
    return (
        f"delete the stack: aws cloudformation delete-stack --stack-name {aws.stack} "
        f"--region {aws.region}; then run make init-aws again"
    )


def _discard(client: Any, plan: ChangeSet) -> None:
    """Take back what planning made: the change set, and the empty stack that a first one needs."""
    plan.delete()
    # An empty stack with another change set is one that somebody else is looking at.
    if plan.creates and not plan.others():
        client.delete_stack(StackName=plan.stack_id)
        plan.wait_while(
            lambda: _describe(client, plan.stack_id) is not None,
            "the empty stack of the plan is still there",
        )


def _agreed() -> bool:
    from rich.prompt import Confirm

    return Confirm.ask("Execute these changes?", console=progress_console, default=False)
