"""What the AWS SDK's errors mean for the person who reads them."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from goldpath.errors import ProjectError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

WAYS_IN = "sign in (aws sso login), name a profile (AWS_PROFILE) or a role: `docs aws`"
DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "OptInRequired"}
)
REFUSED_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


class AwsStackError(ProjectError):
    """The account cannot be reached or refuses, or the stack cannot be brought up."""


@contextlib.contextmanager
def aws_errors_explained(region: str) -> Iterator[None]:
    """Raise what the SDK raises within the block as an error that names a fix.

    Args:
        region: The region that is asked.

    Raises:
        AwsStackError: For missing or refused credentials, missing rights, no connection, and
            whatever else AWS refuses.
    """
    from botocore import exceptions as sdk

    try:
        yield
    except (
        sdk.NoCredentialsError,
        sdk.PartialCredentialsError,
        sdk.CredentialRetrievalError,
        sdk.ProfileNotFound,
        sdk.SSOError,
        sdk.TokenRetrievalError,
    ) as error:
        raise AwsStackError(f"no usable AWS credentials: {error}", WAYS_IN) from error
    except (sdk.ConnectionError, sdk.HTTPClientError) as error:
        raise AwsStackError(
            f"AWS does not answer in region {region}: {error}",
            "check the network, aws.region in config/aws_config.yaml and AWS_ENDPOINT_URL",
        ) from error
    except sdk.ClientError as error:
        raise _explained(error) from error
    except sdk.BotoCoreError as error:
        raise AwsStackError(f"the AWS SDK refuses: {error}", "see `docs aws`") from error


def is_missing(error: "ClientError") -> bool:
    """Whether CloudFormation says that there is no such stack; it has no code of its own for it."""
    details = error.response["Error"]
    return details["Code"] == "ValidationError" and "does not exist" in details["Message"]


def is_unchanged(reason: str) -> bool:
    """Whether a change set failed only because nothing would change."""
    return "didn't contain changes" in reason or "No updates are to be performed" in reason


def _explained(error: "ClientError") -> AwsStackError:
    details = error.response.get("Error", {})
    code, message = details.get("Code", "unknown"), details.get("Message", "")
    what = f"AWS refuses {error.operation_name} ({code}): {message}"
    if code in REFUSED_CREDENTIALS:
        return AwsStackError(what, WAYS_IN)
    if code in DENIED:
        return AwsStackError(
            what,
            "`docs aws` lists the rights that init-aws needs; ask who administers the account",
        )
    if code in ("Throttling", "ThrottlingException", "ServiceUnavailable", "InternalFailure"):
        return AwsStackError(what, "wait a minute and run make init-aws again")
    return AwsStackError(what, "correct config/aws_config.yaml or infra/aws/data.yaml")
