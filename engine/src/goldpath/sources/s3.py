"""Files under an S3 prefix: found by listing, read through a temporary file."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from goldpath.sources.files import SUFFIXES, SourceError, is_set_aside, no_room

if TYPE_CHECKING:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

SCHEME = "s3://"


@dataclass(frozen=True)
class S3Object:
    """An object, and a digest of what S3 says of its content."""

    bucket: str
    key: str
    digest: str

    @property
    def address(self) -> str:
        """Where it is, as people write it."""
        return f"{SCHEME}{self.bucket}/{self.key}"


def list_objects(address: str) -> list[S3Object]:
    """The data files at an address: one object, or all under a prefix, by key.

    Args:
        address: `s3://bucket/key` or `s3://bucket/prefix/`. Credentials, region and endpoint come
            from the environment, as for every AWS program.

    Returns:
        The objects. Under a prefix, hidden ones, those that start with an underscore, and those
        whose suffix says something else than data are left out.

    Raises:
        SourceError: If there is none, or the bucket cannot be read.
    """
    bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
    with _s3_errors(address):
        pages = _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        held = [entry for page in pages for entry in page.get("Contents", [])]
    folder = len(prefix) - len(prefix.rpartition("/")[2])
    itself = [entry for entry in held if entry["Key"] == prefix and not prefix.endswith("/")]
    below = [
        entry
        for entry in held
        if Path(entry["Key"]).suffix.lower() in SUFFIXES and not is_set_aside(entry["Key"][folder:])
    ]
    found = [S3Object(bucket, entry["Key"], _digest(entry)) for entry in itself or below]
    if not found:
        raise SourceError(
            f"{address} holds no data file ({', '.join(SUFFIXES)})", "check bucket and prefix"
        )
    return sorted(found, key=lambda item: item.key)


@contextmanager
def downloaded(item: S3Object) -> Iterator[Path]:
    """The object as a file, for the time of the block."""
    with TemporaryDirectory(prefix="source-") as folder:
        file = Path(folder) / Path(item.key).name
        with _s3_errors(item.address), no_room(item.address, folder):
            _client().download_file(item.bucket, item.key, str(file))
        yield file


def _digest(entry: dict[str, Any]) -> str:
    # The ETag changes with the content; it is no SHA-256 of it, and reading all of it is dear.
    text = f"{entry['Key']} {entry['Size']} {entry['ETag']}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _client() -> Any:
    import boto3

    return boto3.client("s3")


@contextmanager
def _s3_errors(address: str) -> Iterator[None]:
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise SourceError(
            f"{address} needs boto3, which is not installed", "install the extra `aws`"
        ) from error
    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise _explained(address, error) from error


def _explained(address: str, error: "Boto3Error | BotoCoreError | ClientError") -> SourceError:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    fixes = {
        "NoSuchBucket": "check the bucket's name and the region",
        "AccessDenied": "allow s3:ListBucket and s3:GetObject for this role",
        "InvalidAccessKeyId": "check the credentials: aws sts get-caller-identity",
    }
    return SourceError(
        f"{address} cannot be read: {error}",
        fixes.get(code, "check credentials, region and endpoint (AWS_PROFILE, AWS_REGION)"),
    )
