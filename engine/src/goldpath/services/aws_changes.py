"""A CloudFormation change set: what would happen, before it happens."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from goldpath.presentation import progress_console
from goldpath.services.aws_errors import AwsStackError, is_unchanged

POLL_SECONDS = 2.0
PLAN_SECONDS = 300.0


@dataclass(frozen=True)
class StackChange:
    """What would happen to one resource.

    Attributes:
        action: Add, Modify or Remove, as CloudFormation calls it.
        logical_id: The resource's name in the template.
        resource_type: Its type, such as AWS::S3::Bucket.
        replacement: Whether a Modify makes a new one: True, False or Conditional; else empty.
    """

    action: str
    logical_id: str
    resource_type: str
    replacement: str


def plan_changes(
    client: Any, stack: str, template: str, parameters: Mapping[str, str], *, creates: bool
) -> "ChangeSet | None":
    """Ask for a change set.

    Args:
        client: The SDK's CloudFormation client.
        stack: The stack's name.
        template: The template's text.
        parameters: Its parameters.
        creates: Whether the stack does not exist yet.

    Returns:
        The change set, or None where AWS says at once that nothing would change.
    """
    from botocore.exceptions import ClientError

    try:
        made = client.create_change_set(
            StackName=stack,
            ChangeSetName=f"init-aws-{uuid.uuid4().hex[:12]}",
            ChangeSetType="CREATE" if creates else "UPDATE",
            TemplateBody=template,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            # The template's roles have no fixed names, so the weaker capability is enough.
            Capabilities=["CAPABILITY_IAM"],
            Tags=[{"Key": "project", "Value": stack}],
        )
    except ClientError as error:
        if is_unchanged(str(error)):
            return None
        raise
    return ChangeSet(client, made["Id"], made["StackId"], creates)


class ChangeSet:
    """One change set, until it is executed or deleted.

    Args:
        client: The SDK's CloudFormation client.
        change_set_id: Its ARN.
        stack_id: The ARN of its stack.
        creates: Whether it creates the stack.
    """

    def __init__(self, client: Any, change_set_id: str, stack_id: str, creates: bool) -> None:
        self.stack_id = stack_id
        self.creates = creates
        self._client = client
        self._id = change_set_id
        self._names = {"ChangeSetName": change_set_id, "StackName": stack_id}

    def changes(self) -> tuple[StackChange, ...] | None:
        """Wait for the plan.

        Returns:
            The changes; None where there is nothing to do. An empty tuple is not that: changes of
            outputs and tags are executed, but not listed.

        Raises:
            AwsStackError: If CloudFormation refuses the template or a parameter.
        """
        pages: list[dict[str, Any]] = []

        def is_planning() -> bool:
            paginator = self._client.get_paginator("describe_change_set")
            pages[:] = paginator.paginate(**self._names)
            return pages[0]["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS")

        self.wait_while(is_planning, "the plan is not ready")
        reason = pages[0].get("StatusReason", "")
        if pages[0]["Status"] == "CREATE_COMPLETE":
            return tuple(_change(c) for page in pages for c in page.get("Changes", []))
        if is_unchanged(reason):
            return None
        raise AwsStackError(
            f"CloudFormation cannot plan the stack: {reason or pages[0]['Status']}",
            "correct config/aws_config.yaml or infra/aws/data.yaml",
        )

    def execute(self) -> None:
        """Start the changes."""
        self._client.execute_change_set(**self._names)

    def delete(self) -> None:
        """Take the plan back."""
        self._client.delete_change_set(**self._names)

    def others(self) -> list[str]:
        """The stack's other change sets."""
        pages = self._client.get_paginator("list_change_sets").paginate(StackName=self.stack_id)
        summaries = [summary for page in pages for summary in page.get("Summaries", [])]
        return [
            summary["ChangeSetId"]
            for summary in summaries
            if summary["StackId"] == self.stack_id and summary["ChangeSetId"] != self._id
        ]

    def wait_while(self, condition: Callable[[], bool], problem: str) -> None:
        """Ask again and again, as long as the answer is yes.

        Raises:
            AwsStackError: If it takes too long.
        """
        deadline = time.monotonic() + PLAN_SECONDS
        while condition():
            if time.monotonic() > deadline:
                raise AwsStackError(
                    f"{problem} after {PLAN_SECONDS:.0f} s", "look at it in the AWS console"
                )
            time.sleep(POLL_SECONDS)


def print_changes(changes: tuple[StackChange, ...]) -> None:
    """Show the changes as a table, on standard error."""
    from rich.table import Table

    colours = {"Add": "green", "Modify": "yellow", "Remove": "red"}
    table = Table()
    for heading in ("action", "resource", "type", "replaced"):
        table.add_column(heading, overflow="fold")
    for change in changes:
        action = f"[{colours.get(change.action, 'default')}]{change.action}[/]"
        table.add_row(action, change.logical_id, change.resource_type, change.replacement)
    progress_console.print(table if changes else "No resource changes; outputs or tags do.")


def _change(change: Mapping[str, Any]) -> StackChange:
    resource = change["ResourceChange"]
    return StackChange(
        resource["Action"],
        resource["LogicalResourceId"],
        resource["ResourceType"],
        resource.get("Replacement", ""),
    )
