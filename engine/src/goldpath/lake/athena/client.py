"""Running statements on Athena: retries, results as Arrow, and errors that say what to do.

A result is read from Athena's CSV file in S3 with Arrow's own reader: one statement, the order of
the rows kept, microseconds kept, and null told from empty text (null has no quotes). Parquet
through UNLOAD would lose the order and cut timestamps to milliseconds.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from secrets import SystemRandom
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlparse

from goldpath.lake.athena.sql import require_length
from goldpath.lake.lakehouse import LakehouseError
from goldpath.settings import AwsSettings

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

# Prefixes of the bucket that infra/aws/data.yaml lets expire.
STAGING = "staging"
RESULTS = "athena-results"
POLL_SECONDS = 0.5
# With 8 writers on one table, the last one waits for seven commits of about a second.
COMMIT_TRIES = 30
GLUE_TRIES = 10
LONGEST_PAUSE = 4.0
OPTIMIZE_RUNS = 20
CONFLICTS = ("ICEBERG_COMMIT_ERROR", "CommitFailedException", "ConcurrentModification")
CREDENTIALS_FIX = "give credentials: aws configure, aws sso login, or the AWS_… variables"
STACK_FIX = "check config/aws_config.yaml, or create it: make init-aws"


class AthenaClient:
    """Athena and S3 with the settings' names; endpoints come from boto3's own variables."""

    def __init__(self, aws: AwsSettings) -> None:
        self._aws = aws

    @cached_property
    def session(self) -> Any:
        """boto3's session: credentials and region."""
        import boto3

        return boto3.Session(region_name=self._aws.region)

    @cached_property
    def s3(self) -> Any:
        """boto3's client of S3."""
        return self.session.client("s3")

    @cached_property
    def glue(self) -> Any:
        """boto3's client of Glue, as patient as the one that PyIceberg would make itself."""
        from botocore.config import Config

        retries = {"max_attempts": GLUE_TRIES, "mode": "standard"}
        return self.session.client("glue", config=Config(retries=retries))

    @cached_property
    def _connection(self) -> Any:
        from pyathena import connect

        return connect(
            session=self.session,
            region_name=self._aws.region,
            work_group=self._aws.athena_workgroup,
            schema_name=self._aws.glue_database,
            s3_staging_dir=f"s3://{self._aws.bucket}/{RESULTS}/",
            poll_interval=POLL_SECONDS,
        )

    def run(self, sql: str) -> None:
        """Run a statement that gives no rows; one that lost a race for the commit runs again.

        Raises:
            LakehouseError: If it fails; says what to do.
        """
        require_length(sql)
        retry_conflicts(lambda: self._execute(sql))

    def optimize(self, sql: str) -> None:
        """Run an OPTIMIZE, which may ask to be run again.

        Raises:
            LakehouseError: If it fails, or asks too often.
        """
        for _ in range(OPTIMIZE_RUNS):
            try:
                return self.run(sql)
            except LakehouseError as error:
                if "ICEBERG_OPTIMIZE_MORE_RUNS_NEEDED" not in error.message:
                    raise
        raise LakehouseError(
            f"OPTIMIZE asked for more than {OPTIMIZE_RUNS} runs", "run: make data-maintain"
        )

    def fetch(self, sql: str, schema: "pa.Schema") -> "pa.Table":
        """Run a SELECT.

        Args:
            sql: The statement.
            schema: The columns in the order of the SELECT.

        Raises:
            LakehouseError: If it fails; says what to do.
        """
        cursor = self._execute(sql)
        location = urlparse(cursor.output_location)
        place = {"Bucket": location.netloc, "Key": location.path.lstrip("/")}
        kinds = [column[1] for column in cursor.description]
        with aws_errors(self._aws):
            body = self.s3.get_object(**place)["Body"]
            rows = _read_csv(body, kinds, schema)
            # It may hold personal data; nobody reads it again.
            self.s3.delete_object(**place)
            self.s3.delete_object(Bucket=place["Bucket"], Key=f"{place['Key']}.metadata")
        return rows

    def delete_files(self, location: str) -> None:
        """Delete everything below a location of S3."""
        place = urlparse(location)
        prefix = place.path.strip("/") + "/"
        with aws_errors(self._aws):
            for keys in self.list_keys(place.netloc, prefix):
                self._delete_keys(place.netloc, [key for key, _ in keys])

    def delete_paths(self, paths: "set[str]") -> None:
        """Delete files of S3, named in full."""
        keys: dict[str, list[str]] = {}
        for path in sorted(paths):
            place = urlparse(path)
            keys.setdefault(place.netloc, []).append(place.path.lstrip("/"))
        with aws_errors(self._aws):
            for bucket, names in keys.items():
                for start in range(0, len(names), 1000):
                    self._delete_keys(bucket, names[start : start + 1000])

    def list_keys(self, bucket: str, prefix: str) -> "Iterator[list[tuple[str, Any]]]":
        """Pages of keys below a prefix, each with the time it was last modified."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            yield [(item["Key"], item["LastModified"]) for item in page.get("Contents", [])]

    def _delete_keys(self, bucket: str, keys: list[str]) -> None:
        if keys:
            objects = [{"Key": key} for key in keys]
            self.s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})

    def _execute(self, sql: str) -> Any:
        with aws_errors(self._aws):
            # One row: the first page is thrown away, the result is read from S3.
            return self._connection.cursor(arraysize=1).execute(sql)


def retry_conflicts(action: Callable[[], T]) -> T:
    """Do something again while another writer's commit came first.

    Raises:
        LakehouseError: After many tries, or where it fails for another reason.
    """
    random = SystemRandom()
    for attempt in range(COMMIT_TRIES):
        try:
            return action()
        except Exception as error:
            is_conflict = any(word in f"{type(error).__name__}: {error}" for word in CONFLICTS)
            if not is_conflict or attempt == COMMIT_TRIES - 1:
                raise
        time.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.1 * 2**attempt)))
    raise AssertionError


@contextmanager
def aws_errors(aws: AwsSettings) -> "Iterator[None]":
    """Turn what boto3 and pyathena raise into a sentence that says what to do.

    Raises:
        LakehouseError: Instead of theirs.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from pyathena.error import Error as AthenaError
    from pyiceberg.exceptions import NoSuchNamespaceError

    try:
        yield
    except NoCredentialsError as error:
        raise LakehouseError("there are no AWS credentials", CREDENTIALS_FIX) from error
    except (AthenaError, ClientError, BotoCoreError, NoSuchNamespaceError) as error:
        raise _explained(error, aws) from error


def _explained(error: Exception, aws: AwsSettings) -> LakehouseError:
    cause = error.__cause__ if error.__cause__ is not None else error
    response: dict[str, Any] = getattr(cause, "response", {})
    code, said = response.get("Error", {}).get("Code", ""), str(error)
    if type(cause).__name__ == "NoCredentialsError":
        return LakehouseError("there are no AWS credentials", CREDENTIALS_FIX)
    if code in (
        "ExpiredToken",
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    ):
        return LakehouseError(f"AWS refuses the credentials: {said}", CREDENTIALS_FIX)
    for word, message, fix in (
        ("AccessDenied", "AWS denies access", "ask for the role that make init-aws prints"),
        (
            "Insufficient permissions",
            "AWS denies access",
            "ask for the role that make init-aws prints",
        ),
        ("NoSuchBucket", f"the bucket {aws.bucket} does not exist", STACK_FIX),
        ("output bucket", f"the bucket {aws.bucket} does not exist", STACK_FIX),
        ("WorkGroup", f"the Athena workgroup {aws.athena_workgroup} cannot be used", STACK_FIX),
        ("SCHEMA_NOT_FOUND", f"the Glue database {aws.glue_database} does not exist", STACK_FIX),
        ("Database", f"the Glue database {aws.glue_database} cannot be used", STACK_FIX),
        (
            "TOO_MANY_OPEN_PARTITIONS",
            "Athena writes 100 partitions at once at most",
            "write fewer intervals at once, or set a longer event_time.interval",
        ),
        (
            "Bytes scanned limit",
            "the statement reads more than the workgroup allows",
            "name fewer intervals, or raise the workgroup's scan limit",
        ),
        ("EndpointConnectionError", "AWS cannot be reached", "check the network and the region"),
        ("Could not connect", "AWS cannot be reached", "check the network and the region"),
    ):
        if word in f"{code} {said}":
            return LakehouseError(f"{message}: {said}", fix)
    return LakehouseError(f"AWS refused a statement: {said}", "read the reason it gives")


def _read_csv(body: Any, kinds: list[str], schema: "pa.Schema") -> "pa.Table":
    """Athena's CSV as typed columns: null is a field without quotes."""
    import pyarrow as pa
    from pyarrow import csv

    places = [f"c{number}" for number in range(len(schema))]
    as_read = [_csv_type(kind, column.type) for kind, column in zip(kinds, schema, strict=True)]
    reader = csv.open_csv(
        pa.PythonFile(body, mode="r"),
        read_options=csv.ReadOptions(column_names=places, skip_rows=1, block_size=1 << 24),
        # A null in the only column is an empty line.
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=dict(zip(places, as_read, strict=True)),
            null_values=[""],
            true_values=["true"],
            false_values=["false"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    rows = reader.read_all()
    columns = [_cast(rows.column(number), column.type) for number, column in enumerate(schema)]
    return pa.Table.from_arrays(columns, schema=schema)


def _csv_type(kind: str, wanted: "pa.DataType") -> "pa.DataType":
    """What to read a column as, before it becomes what the caller wants."""
    import pyarrow as pa

    kinds = {
        "boolean": pa.bool_(),
        "tinyint": pa.int64(),
        "smallint": pa.int64(),
        "integer": pa.int64(),
        "bigint": pa.int64(),
        "float": pa.float64(),
        "real": pa.float64(),
        "double": pa.float64(),
        "timestamp": pa.timestamp("us"),
        "date": pa.date32(),
    }
    if pa.types.is_decimal(wanted):
        return wanted
    if kind.startswith("decimal"):
        return pa.float64()
    return kinds.get(kind, pa.string())


def _cast(values: "pa.ChunkedArray", wanted: "pa.DataType") -> "pa.ChunkedArray":
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_timestamp(wanted) and pa.types.is_string(values.type):
        bare = compute.replace_substring_regex(values, r" (UTC|Z|\+00:00)$", "")
        values = bare.cast(pa.timestamp("us"))
    if pa.types.is_timestamp(wanted) and wanted.tz and values.type.tz is None:
        return values.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC")).cast(wanted)
    return values.cast(wanted)
