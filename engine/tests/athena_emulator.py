"""An Athena that runs on this machine, for unmodified pyathena and boto3.

It speaks Athena's JSON protocol and runs the statements on DuckDB (`athena_engine`) over the
tables of a Glue and an S3 endpoint, which moto's server gives. Nothing here is AWS; its engine
version says "emulated (DuckDB)". For a command in another process:

    python tests/athena_emulator.py --port 5001 --glue-endpoint URL --s3-endpoint URL
"""

import argparse
import io
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pyarrow as pa
from botocore.exceptions import ClientError

# ruff: noqa: S608  names of columns are this file's own
from tests.athena_engine import AthenaEngine, Result, _split
from tests.athena_functions import AthenaError

ENGINE = "emulated (DuckDB)"
# Most statements end within this time, so that a client need not poll.
ANSWERED_WITHIN = 3.0


class InvalidRequestError(Exception):
    """A request that Athena would refuse."""


@dataclass
class Execution:
    """One statement, and what became of it."""

    query: str
    database: str | None
    work_group: str
    location: str
    parameters: list[str]
    identity: str = field(default_factory=lambda: str(uuid4()))
    submitted: float = field(default_factory=time.time)
    completed: float | None = None
    state: str = "RUNNING"
    reason: str = ""
    result: Result | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def output(self) -> str:
        """Where the result is in S3."""
        kind = self.result.kind if self.result else "DML"
        return f"{self.location}{self.identity}{'.csv' if kind == 'DML' else '.txt'}"


class AthenaEmulator:
    """Serves Athena's API on a port of 127.0.0.1; use it in a `with` block."""

    def __init__(
        self,
        glue_endpoint: str | None,
        s3_endpoint: str | None,
        port: int = 0,
        region: str = "us-east-1",
        work_groups: tuple[str, ...] | None = None,
    ) -> None:
        self.engine = AthenaEngine(glue_endpoint, s3_endpoint, region)
        self.executions: dict[str, Execution] = {}
        self.work_groups = work_groups
        self._tokens: dict[str, str] = {}
        emulator = self

        class Handler(_Handler):
            answer = staticmethod(emulator.answer)

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "AthenaEmulator":
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        """Answer requests until the server is shut down."""
        self._server.serve_forever(poll_interval=0.1)

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One call of Athena's API.

        Raises:
            InvalidRequestError: If Athena would refuse the request.
        """
        operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "StartQueryExecution": self._start,
            "GetQueryExecution": lambda r: {"QueryExecution": _described(self._find(r))},
            "BatchGetQueryExecution": self._describe_many,
            "GetQueryResults": self._results,
            "StopQueryExecution": self._stop,
            "GetWorkGroup": self._work_group,
            "ListQueryExecutions": lambda _: {"QueryExecutionIds": list(self.executions)[-50:]},
        }
        if operation not in operations:
            raise InvalidRequestError(f"the emulator has no {operation}")
        return operations[operation](request)

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        token = request.get("ClientRequestToken", "")
        if token in self._tokens:
            return {"QueryExecutionId": self._tokens[token]}
        work_group = request.get("WorkGroup", "primary")
        self._require_work_group(work_group)
        location = request.get("ResultConfiguration", {}).get("OutputLocation")
        if not location:
            raise InvalidRequestError("No output location provided.")
        location = location.rstrip("/") + "/"
        try:
            self.engine.s3.head_bucket(Bucket=_split(location)[0])
        except ClientError as error:
            bucket = _split(location)[0]
            raise InvalidRequestError(f"Unable to verify/create output bucket {bucket}") from error
        execution = Execution(
            query=request["QueryString"],
            database=request.get("QueryExecutionContext", {}).get("Database"),
            work_group=work_group,
            location=location,
            parameters=request.get("ExecutionParameters", []),
        )
        self.executions[execution.identity] = execution
        if token:
            self._tokens[token] = execution.identity
        threading.Thread(target=self._run, args=(execution,), daemon=True).start()
        execution.done.wait(ANSWERED_WITHIN)
        return {"QueryExecutionId": execution.identity}

    def _run(self, execution: Execution) -> None:
        try:
            result = self.engine.run(execution.query, execution.database, execution.parameters)
            execution.result = result
            self._store(execution, result)
            state, reason = "SUCCEEDED", ""
        except AthenaError as error:
            state, reason = "FAILED", str(error)
        except Exception as error:  # noqa: BLE001  the client must learn of it
            state, reason = "FAILED", f"INTERNAL_ERROR: {type(error).__name__}: {error}"
        if execution.state == "RUNNING":
            execution.state, execution.reason = state, reason
        execution.completed = time.time()
        execution.done.set()

    def _store(self, execution: Execution, result: Result) -> None:
        bucket, _ = _split(execution.output)
        key = execution.output.split("/", 3)[3]
        body = _csv(result) if result.kind == "DML" else _lines(result)
        self.engine.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def _find(self, request: dict[str, Any]) -> Execution:
        try:
            return self.executions[request["QueryExecutionId"]]
        except KeyError as error:
            raise InvalidRequestError(
                f"QueryExecution {request.get('QueryExecutionId')} was not found"
            ) from error

    def _describe_many(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request["QueryExecutionIds"]
        known = [identity for identity in wanted if identity in self.executions]
        return {
            "QueryExecutions": [_described(self.executions[identity]) for identity in known],
            "UnprocessedQueryExecutionIds": [
                {"QueryExecutionId": identity} for identity in wanted if identity not in known
            ],
        }

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        execution = self._find(request)
        if execution.state == "RUNNING":
            execution.state, execution.reason = "CANCELLED", "Query was cancelled by the user"
        return {}

    def _work_group(self, request: dict[str, Any]) -> dict[str, Any]:
        self._require_work_group(request["WorkGroup"])
        return {
            "WorkGroup": {
                "Name": request["WorkGroup"],
                "State": "ENABLED",
                "Configuration": {
                    "EnforceWorkGroupConfiguration": False,
                    "EngineVersion": {
                        "SelectedEngineVersion": ENGINE,
                        "EffectiveEngineVersion": ENGINE,
                    },
                },
            }
        }

    def _require_work_group(self, name: str) -> None:
        if self.work_groups is not None and name not in self.work_groups:
            raise InvalidRequestError(f"WorkGroup {name} is not found.")

    def _results(self, request: dict[str, Any]) -> dict[str, Any]:
        execution = self._find(request)
        if execution.state != "SUCCEEDED":
            raise InvalidRequestError(
                f"Query has not yet finished. Current state: {execution.state}"
            )
        result = execution.result or Result("DDL")
        start = int(request.get("NextToken") or 0)
        most = int(request.get("MaxResults") or 1000)
        rows = []
        total = result.texts.num_rows if result.texts is not None else 0
        header = 1 if result.kind == "DML" and result.texts is not None else 0
        if header and start == 0:
            rows.append({"Data": [{"VarCharValue": name} for name in result.names]})
        first = max(start - header, 0)
        page = (
            result.texts.slice(first, most - len(rows)).to_pydict()
            if result.texts is not None
            else {}
        )
        rows += [
            {"Data": [{"VarCharValue": v} if v is not None else {} for v in values]}
            for values in zip(*page.values(), strict=True)
        ]
        answer: dict[str, Any] = {
            "ResultSet": {
                "Rows": rows,
                "ResultSetMetadata": {
                    "ColumnInfo": [
                        _column(name, kind)
                        for name, kind in zip(result.names, result.types, strict=True)
                    ]
                },
            }
        }
        if start + len(rows) < total + header:
            answer["NextToken"] = str(start + len(rows))
        if result.updated is not None:
            answer["UpdateCount"] = result.updated
        return answer


def _column(name: str, kind: str) -> dict[str, Any]:
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": kind,
        "Precision": 6 if kind.startswith("timestamp") else 17,
        "Scale": 0,
        "Nullable": "UNKNOWN",
        "CaseSensitive": kind in ("varchar", "string"),
    }


def _described(execution: Execution) -> dict[str, Any]:
    status: dict[str, Any] = {"State": execution.state, "SubmissionDateTime": execution.submitted}
    if execution.reason:
        status["StateChangeReason"] = execution.reason
        status["AthenaError"] = {"ErrorCategory": 2, "ErrorType": 1, "Retryable": False}
    if execution.completed:
        status["CompletionDateTime"] = execution.completed
    milliseconds = int(((execution.completed or time.time()) - execution.submitted) * 1000)
    return {
        "QueryExecutionId": execution.identity,
        "Query": execution.query,
        "StatementType": execution.result.kind if execution.result else "DML",
        "ResultConfiguration": {"OutputLocation": execution.output},
        "QueryExecutionContext": {"Database": execution.database or "default"},
        "Status": status,
        "Statistics": {
            "EngineExecutionTimeInMillis": milliseconds,
            "DataScannedInBytes": 0,
            "TotalExecutionTimeInMillis": milliseconds,
        },
        "WorkGroup": execution.work_group,
        "EngineVersion": {"SelectedEngineVersion": ENGINE, "EffectiveEngineVersion": ENGINE},
    }


def _csv(result: Result) -> bytes:
    """Athena's CSV: every value quoted, null an empty field without quotes."""
    if result.texts is None:
        return b""
    sink = io.BytesIO()
    sink.write((",".join('"' + n.replace('"', '""') + '"' for n in result.names) + "\n").encode())
    if result.texts.num_rows:
        import duckdb

        with duckdb.connect() as connection:
            connection.register("texts", result.texts)
            quoted = [
                f"CASE WHEN {name} IS NULL THEN '' ELSE '\"' || replace({name}, '\"', '\"\"') "
                f"|| '\"' END"
                for name in result.texts.column_names
            ]
            lines = connection.sql(
                f"SELECT concat_ws(',', {', '.join(quoted)}) AS line FROM texts"
            ).to_arrow_table()["line"]
        text = pa.compute.binary_join(pa.array([lines.to_pylist()]), "\n")[0].as_py()
        sink.write(text.encode() + b"\n")
    return sink.getvalue()


def _lines(result: Result) -> bytes:
    return "\n".join(result.texts.column(0).to_pylist() if result.texts else []).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        try:
            status, answer = 200, self.answer(operation, json.loads(body or b"{}"))
        except InvalidRequestError as error:
            status = 400
            answer = {"__type": "InvalidRequestException", "message": str(error)}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: tests read the output."""


def main() -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--glue-endpoint")
    parser.add_argument("--s3-endpoint")
    parser.add_argument("--region", default="us-east-1")
    options = parser.parse_args()
    emulator = AthenaEmulator(
        options.glue_endpoint, options.s3_endpoint, options.port, options.region
    )
    print(emulator.url, flush=True)
    emulator.serve()


if __name__ == "__main__":
    main()
