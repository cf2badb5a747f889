"""AWS for tests, on this machine: moto's S3 and Glue, and the emulated Athena.

What `EmulatedAws.environment` holds is all that a command needs to use it: boto3, pyathena and the
project read the endpoints from there.
"""

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import boto3
import pytest
from botocore.loaders import JSONFileLoader
from pyarrow.fs import FileSystem, S3FileSystem
from pyiceberg.io import InputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata

from tests.athena_emulator import AthenaEmulator
from tests.ports import free_port

REGION = "us-east-1"


@dataclass(frozen=True)
class EmulatedAws:
    """Where the servers are, and the names of what exists there."""

    endpoint: str
    emulator: AthenaEmulator
    bucket: str
    database: str
    work_group: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send a command here instead of to AWS."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ENDPOINT_URL_GLUE": self.endpoint,
            "AWS_ENDPOINT_URL_STS": self.endpoint,
            "AWS_ENDPOINT_URL_ATHENA": self.emulator.url,
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "MLOPS_LAKE__BACKEND": "aws",
            "MLOPS_AWS__REGION": REGION,
            "MLOPS_AWS__BUCKET": self.bucket,
            "MLOPS_AWS__GLUE_DATABASE": self.database,
            "MLOPS_AWS__ATHENA_WORKGROUP": self.work_group,
        }


@contextmanager
def emulated_aws() -> Iterator[EmulatedAws]:
    """Start the servers, make a bucket and a Glue database, and set the environment."""
    from moto.server import ThreadedMotoServer

    # moto keeps its state for the whole process, so each use takes names of its own.
    number = uuid4().hex[:12]
    bucket, database = f"emulated-{number}", f"lake_{number}"

    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for each request
        server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
        server.start()
        stack.callback(server.stop)
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        patch.setenv("AWS_ACCESS_KEY_ID", "emulated")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "emulated")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        boto3.client("s3", endpoint_url=endpoint, region_name=REGION).create_bucket(Bucket=bucket)
        glue = boto3.client("glue", endpoint_url=endpoint, region_name=REGION)
        glue.create_database(DatabaseInput={"Name": database})
        emulator = AthenaEmulator(endpoint, endpoint, region=REGION, work_groups=("tests",))
        stack.enter_context(emulator)
        aws = EmulatedAws(endpoint, emulator, bucket, database, "tests")
        for name, value in aws.environment.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        share_file_systems(patch)
        keep_metadata(patch)
        read = functools.cache(JSONFileLoader().load_file)  # else each session reads 3 MB anew
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        yield aws


def keep_metadata(patch: pytest.MonkeyPatch) -> None:
    """Let PyIceberg read each file of a table's metadata once: nobody changes one.

    Half a second of a test that loads tables a hundred times, and two of three requests to read.
    """
    read = FromInputFile.table_metadata
    known: dict[str, TableMetadata] = {}

    def kept(file: InputFile, encoding: str = "utf-8") -> TableMetadata:
        if file.location not in known:
            known[file.location] = read(file, encoding)
        return known[file.location]

    patch.setattr(FromInputFile, "table_metadata", staticmethod(kept))


def share_file_systems(patch: pytest.MonkeyPatch) -> None:
    """Let PyIceberg make one file system for the same properties, as long as the servers run.

    It makes one for each table that it loads, at 35 ms each; on AWS a request takes longer. What is
    written is sent in one request for each file instead of three.
    """
    make = PyArrowFileIO._initialize_s3_fs
    made: dict[tuple[object, ...], FileSystem] = {}
    in_one_request = functools.partial(S3FileSystem, allow_delayed_open=True)
    patch.setattr("pyarrow.fs.S3FileSystem", in_one_request)

    def shared(files: PyArrowFileIO, bucket: str | None) -> FileSystem:
        key = (bucket, *sorted(files.properties.items()))
        if key not in made:
            made[key] = make(files, bucket)
        return made[key]

    patch.setattr(PyArrowFileIO, "_initialize_s3_fs", shared)
