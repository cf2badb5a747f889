"""The events of a CloudFormation stack: progress, the end, and why it failed."""

import time
from collections.abc import Mapping
from typing import Any

from goldpath.presentation import progress_console, step
from goldpath.services.aws_errors import AwsStackError

POLL_SECONDS = 3.0
DEPLOY_SECONDS = 1800.0
SHOWN_REASONS = 3


class StackEvents:
    """A stack's events, each of them read once.

    Args:
        client: The SDK's CloudFormation client.
        stack_id: The stack's ARN.
    """

    def __init__(self, client: Any, stack_id: str) -> None:
        self._client = client
        self._stack_id = stack_id
        self._seen: set[str] = set()
        self._history: list[Mapping[str, Any]] = []

    def unseen(self) -> list[Mapping[str, Any]]:
        """The events since the last call, the oldest first."""
        events = self._read()[::-1]
        self._seen.update(event["EventId"] for event in events)
        self._history = self._history + events
        return events

    def wait_for_end(self) -> str:
        """Report each resource until the stack itself has come to an end.

        The stack's status would not do: right after the start it may still be the old one.

        Returns:
            The stack's last status.

        Raises:
            AwsStackError: If it takes too long; AWS goes on.
        """
        self._history = []
        deadline = time.monotonic() + DEPLOY_SECONDS
        with progress_console.status("Waiting for CloudFormation") as spinner:
            while True:
                for event in self.unseen():
                    status: str = event["ResourceStatus"]
                    ended = not status.endswith("_IN_PROGRESS")
                    if self._is_of_stack(event):
                        if ended:
                            return status
                    elif ended:
                        step(f"{event['LogicalResourceId']}: {status}")
                    else:
                        spinner.update(f"{event['LogicalResourceId']}: {status}")
                if time.monotonic() > deadline:
                    raise AwsStackError(
                        f"the stack is not ready after {DEPLOY_SECONDS:.0f} s",
                        "AWS goes on by itself: follow its events in the CloudFormation console",
                    )
                time.sleep(POLL_SECONDS)

    def first_failures(self) -> list[str]:
        """Why it failed: the first reasons, without those that only follow from them."""
        reasons = [
            f"{event['LogicalResourceId']} ({event['ResourceType']}): "
            f"{event.get('ResourceStatusReason', 'no reason given')}"
            for event in self._history
            if event["ResourceStatus"].endswith("_FAILED")
            and not self._is_of_stack(event)
            and "cancelled" not in event.get("ResourceStatusReason", "").lower()
        ]
        return reasons[:SHOWN_REASONS] or ["its events name no reason"]

    def _read(self) -> list[Mapping[str, Any]]:
        """The newest events, as AWS lists them, down to the first that is known."""
        events: list[Mapping[str, Any]] = []
        pages = self._client.get_paginator("describe_stack_events")
        for page in pages.paginate(StackName=self._stack_id):
            for event in page["StackEvents"]:
                if event["EventId"] in self._seen:
                    return events
                events.append(event)
        return events

    def _is_of_stack(self, event: Mapping[str, Any]) -> bool:
        return event.get("PhysicalResourceId") == self._stack_id
