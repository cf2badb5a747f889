"""Athena's statements on DuckDB: reads and writes the tables that a Glue catalog names.

An SQL-semantics emulator for tests. It has no cost, no IAM, no queue and no distributed planner;
types are checked less strictly than Trino's; an integer divided by zero is no error. Where Athena
appends row-level deletes, it rewrites the data files that hold a touched row.
"""

# ruff: noqa: S608  DuckDB runs what a test sends; nothing else comes near it
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlparse
from uuid import uuid4

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files
from pyiceberg.table import Table
from sqlglot import expressions as exp

from tests.athena_functions import MACROS, AthenaError, parse_athena, to_duckdb

# https://docs.aws.amazon.com/athena/latest/ug/ctas-insert-into.html
MOST_PARTITIONS = 100
CACHED_TABLES = 24
VACUUM_AGE = timedelta(days=5)
FILE_COLUMN = "__file"


@dataclass
class Result:
    """What a statement gave.

    Attributes:
        kind: DML, DDL or UTILITY, as Athena's API calls it.
        names: The columns' names.
        types: The columns' types in Athena's words.
        texts: The values as Athena prints them.
        updated: How many rows a write wrote, where it says so.
    """

    kind: str
    names: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    texts: pa.Table | None = None
    updated: int | None = None


class AthenaEngine:
    """Runs statements; one instance serves many threads."""

    def __init__(self, glue_endpoint: str | None, s3_endpoint: str | None, region: str) -> None:
        self.s3 = boto3.client("s3", endpoint_url=s3_endpoint, region_name=region)
        self.glue = boto3.client("glue", endpoint_url=glue_endpoint, region_name=region)
        properties = {"client.region": region}
        if glue_endpoint:
            properties["glue.endpoint"] = glue_endpoint
        if s3_endpoint:
            properties["s3.endpoint"] = s3_endpoint
        # boto3's clients may be shared by threads, and a catalog holds nothing else. A catalog for
        # each statement's thread took four fifths of the emulator's time.
        self._catalog = GlueCatalog("emulated", client=self.glue, **properties)
        self._cache: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._commits = threading.RLock()

    def run(self, sql: str, database: str | None, parameters: list[str] | None = None) -> Result:
        """Run one statement.

        Raises:
            AthenaError: With Athena's reason, where it fails.
        """
        return _Statement(self, database or "default", parameters or []).run(sql)

    def find(self, name: tuple[str, str]) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.glue.get_table(DatabaseName=name[0], Name=name[1])["Table"]
        except self.glue.exceptions.EntityNotFoundException as error:
            raise AthenaError(
                f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{name[0]}.{name[1]}' does not exist"
            ) from error
        return found

    def iceberg(self, name: tuple[str, str]) -> Table:
        try:
            return self._catalog.load_table(name)
        except NoSuchTableError as error:
            raise AthenaError(f"TABLE_NOT_FOUND: Table {'.'.join(name)} does not exist") from error

    def iceberg_of(self, found: dict[str, Any]) -> Table:
        """What `find` found, without asking Glue again."""
        return self._catalog._convert_glue_to_iceberg(found)

    def cached(self, table: Table, snapshot_id: int) -> pa.Table:
        key = (str(table.metadata.table_uuid) + str(table.metadata.current_schema_id), snapshot_id)
        rows = self._cache.get(key)
        if rows is None:
            rows = self._cache[key] = table.scan(snapshot_id=snapshot_id).to_arrow()
            while len(self._cache) > CACHED_TABLES:
                self._cache.popitem(last=False)
        return rows


class _Statement:
    def __init__(self, engine: AthenaEngine, database: str, parameters: list[str]) -> None:
        self.engine = engine
        self.database = database
        self.parameters = parameters
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("SET TimeZone = 'UTC'")
        for macro in MACROS:
            self.connection.execute(macro)
        self.registered = 0

    def run(self, sql: str) -> Result:
        sql = sql.strip().rstrip(";").strip()
        try:
            return self._utility(sql) or self._dispatch(parse_athena(sql))
        except duckdb.Error as error:
            raise AthenaError(f"GENERIC_USER_ERROR: {str(error).splitlines()[0]}") from error
        except CommitFailedException as error:
            raise AthenaError(f"ICEBERG_COMMIT_ERROR: Failed to commit: {error}") from error
        finally:
            self.connection.close()

    def _dispatch(self, tree: exp.Expr) -> Result:
        self._fill_parameters(tree)
        if isinstance(tree, exp.Values):
            tree = exp.select("*").from_(tree)
        if isinstance(tree, exp.Query):
            return self._select(tree)
        if isinstance(tree, exp.Insert):
            return self._insert(tree)
        if isinstance(tree, (exp.Delete, exp.Update, exp.Merge)):
            return self._change(tree)
        if isinstance(tree, exp.Create) and tree.kind == "TABLE":
            is_ctas = isinstance(tree.expression, exp.Query)
            return self._create_as(tree) if is_ctas else self._create(tree)
        if isinstance(tree, exp.Create) and tree.kind in ("SCHEMA", "DATABASE"):
            self.engine.glue.create_database(DatabaseInput={"Name": tree.this.db or tree.this.name})
            return Result("DDL")
        if isinstance(tree, exp.Alter):
            return self._add_columns(tree)
        if isinstance(tree, exp.Drop) and tree.args.get("kind") == "TABLE":
            return self._drop(tree)
        raise AthenaError(f"NOT_SUPPORTED: the emulator has no {type(tree).__name__}")

    def _fill_parameters(self, tree: exp.Expr) -> None:
        places = list(tree.find_all(exp.Placeholder))
        if len(places) != len(self.parameters):
            raise AthenaError(
                f"INVALID_PARAMETER_USAGE: expected {len(places)} parameters "
                f"but found {len(self.parameters)}"
            )
        for place, text in zip(places, self.parameters, strict=True):
            place.replace(parse_athena(f"SELECT {text}").expressions[0].copy())

    # ---- statements that are not SQL queries

    def _utility(self, sql: str) -> Result | None:
        if match := re.fullmatch(r"(?is)OPTIMIZE\s+(\S+)\s+REWRITE\s+DATA\s+USING\s+BIN_PACK", sql):
            return self._optimize(self._name_of(match[1]))
        if match := re.fullmatch(r"(?is)VACUUM\s+(\S+)", sql):
            table = self.engine.iceberg(self._name_of(match[1]))
            before = datetime.now(UTC) - VACUUM_AGE
            table.maintenance.expire_snapshots().older_than(before).commit()
            return Result("DDL")
        if match := re.fullmatch(
            r"(?is)UNLOAD\s*\((.*)\)\s*TO\s*'([^']+)'\s*WITH\s*\(.*format\s*=\s*'PARQUET'.*\)", sql
        ):
            self._require_empty(match[2])
            rows = self._rows(parse_athena(match[1]))
            self._write_parquet(rows, match[2])
            return Result("DML", updated=rows.num_rows)
        if match := re.fullmatch(r"(?is)SHOW\s+TABLES(?:\s+IN\s+(\S+))?", sql):
            database = (match[1] or self.database).strip('`"')
            pages = self.engine.glue.get_paginator("get_tables").paginate(DatabaseName=database)
            names = sorted(table["Name"] for page in pages for table in page["TableList"])
            return _listing("tab_name", names)
        if match := re.fullmatch(r"(?is)SHOW\s+(?:DATABASES|SCHEMAS)", sql):
            pages = self.engine.glue.get_paginator("get_databases").paginate()
            return _listing(
                "database_name",
                sorted(found["Name"] for page in pages for found in page["DatabaseList"]),
            )
        if match := re.fullmatch(r"(?is)SHOW\s+COLUMNS\s+(?:IN|FROM)\s+(\S+)", sql):
            columns = self.engine.find(self._name_of(match[1]))["StorageDescriptor"]["Columns"]
            return _listing("field", [column["Name"] for column in columns])
        if match := re.fullmatch(r"(?is)(?:DESCRIBE|DESC)\s+(\S+)", sql):
            columns = self.engine.find(self._name_of(match[1]))["StorageDescriptor"]["Columns"]
            return _listing("col_name", [f"{c['Name']}\t{c['Type']}" for c in columns])
        if match := re.fullmatch(r"(?is)EXPLAIN\s+(.*)", sql):
            return _listing("Query Plan", [to_duckdb(parse_athena(match[1]))])
        return None

    def _optimize(self, name: tuple[str, str]) -> Result:
        table = self.engine.iceberg(name)
        tasks = list(table.scan().plan_files())
        partitions = {str(task.file.partition) for task in tasks}
        if len(tasks) > len(partitions):
            self._commit(table, table.scan().to_arrow(), [task.file for task in tasks])
        return Result("DDL")

    # ---- reading

    def _select(self, tree: exp.Query) -> Result:
        relation = self._relation(tree)
        names, kinds = relation.columns, [str(kind) for kind in relation.types]
        rows = relation.to_arrow_table()
        rows = rows.rename_columns([f"c{number}" for number in range(len(kinds))])
        self.connection.register("__rows", rows)
        columns = [
            f"{_as_text(f'c{number}', kind)} AS c{number}" for number, kind in enumerate(kinds)
        ]
        texts = self.connection.sql(f"SELECT {', '.join(columns)} FROM __rows").to_arrow_table()
        return Result("DML", [n.lower() for n in names], [_athena_type(k) for k in kinds], texts)

    def _rows(self, tree: exp.Expr) -> pa.Table:
        return self._relation(tree).to_arrow_table()

    def _relation(self, tree: exp.Expr) -> duckdb.DuckDBPyRelation:
        """The query on DuckDB; whole numbers are bigints at most, as on Athena."""
        tree = tree.copy()
        self._bind_tables(tree)
        relation = self.connection.sql(to_duckdb(tree))
        if relation is None:
            raise AthenaError("SYNTAX_ERROR: not a query")
        if "HUGEINT" not in [str(kind) for kind in relation.types]:
            return relation
        places = [f"c{number}" for number in range(len(relation.columns))]
        casts = ", ".join(
            f"CAST({place} AS BIGINT) AS {_quoted(name)}"
            if str(kind) == "HUGEINT"
            else f"{place} AS {_quoted(name)}"
            for place, name, kind in zip(places, relation.columns, relation.types, strict=True)
        )
        return self.connection.sql(f"SELECT {casts} FROM relation AS r({', '.join(places)})")

    def _bind_tables(self, tree: exp.Expr) -> None:
        common = {expression.alias for expression in tree.find_all(exp.CTE)}
        for table in list(tree.find_all(exp.Table)):
            if not isinstance(table.this, exp.Identifier) or (
                not table.db and table.name in common
            ):
                continue
            rows = self._read(table)
            name = f"__t{self.registered}"
            self.registered += 1
            self.connection.register(name, rows)
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
            for part in ("db", "catalog", "version", "when"):
                table.set(part, None)
            table.set("this", exp.to_identifier(name))

    def _read(self, table: exp.Table) -> pa.Table:
        base, _, kind = table.name.partition("$")
        name = (table.db or self.database, base)
        found = self.engine.find(name)
        if not _is_iceberg(found):
            if table.args.get("version"):
                raise AthenaError("NOT_SUPPORTED: This connector does not support versioned tables")
            return self._read_external(found)
        iceberg = self.engine.iceberg_of(found)
        if kind:
            return self._inspect(iceberg, kind)
        snapshot_id = self._snapshot(iceberg, table.args.get("version"))
        if snapshot_id is None:
            return _lowered(iceberg.schema().as_arrow().empty_table())
        return _lowered(self.engine.cached(iceberg, snapshot_id))

    def _snapshot(self, iceberg: Table, version: exp.Expr | None) -> int | None:
        if version is None:
            current = iceberg.current_snapshot()
            return current.snapshot_id if current else None
        value = self.connection.sql("SELECT " + to_duckdb(version.expression)).to_arrow_table()
        wanted = value.column(0)[0].as_py()
        if version.name.upper() == "TIMESTAMP":
            found = iceberg.snapshot_as_of_timestamp(int(wanted.timestamp() * 1000))
        elif isinstance(wanted, str):
            found = iceberg.snapshot_by_name(wanted)
        else:
            found = iceberg.snapshot_by_id(wanted)
        if found is None:
            raise AthenaError(f"INVALID_ARGUMENTS: Iceberg snapshot ID does not exist: {wanted}")
        return int(found.snapshot_id)

    def _inspect(self, iceberg: Table, kind: str) -> pa.Table:
        names = {"snapshots", "files", "history", "manifests", "partitions", "refs"}
        if kind not in names:
            raise AthenaError(f"TABLE_NOT_FOUND: no metadata table ${kind}")
        rows: pa.Table = getattr(iceberg.inspect, kind)()
        return rows

    # ---- plain external tables

    def _read_external(self, found: dict[str, Any]) -> pa.Table:
        storage = found["StorageDescriptor"]
        keys = [column["Name"] for column in found.get("PartitionKeys", [])]
        columns = [*storage["Columns"], *found.get("PartitionKeys", [])]
        schema = _hive(pa.schema([(c["Name"], _arrow_type(c["Type"])) for c in columns]))
        parts = [schema.empty_table()]
        for bucket, key in self._objects(storage["Location"]):
            body = self.engine.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            rows = _lowered(pq.ParquetFile(pa.BufferReader(body)).read())
            values = dict(re.findall(r"([^/=]+)=([^/]*)/", key))
            for column in keys:
                rows = rows.append_column(column, pa.array([values[column]] * rows.num_rows))
            parts.append(
                pa.table(
                    {
                        column.name: rows[column.name].cast(column.type, safe=False)
                        if column.name in rows.column_names
                        else pa.nulls(rows.num_rows, column.type)
                        for column in schema
                    }
                )
            )
        return pa.concat_tables(parts)

    def _write_parquet(self, rows: pa.Table, location: str, keys: list[str] | None = None) -> None:
        bucket, prefix = _split(location)
        groups = {"": rows}
        if keys:
            groups = {}
            distinct = rows.select(keys).group_by(keys).aggregate([]).to_pylist()
            _require_few_partitions(len(distinct), "HIVE")
            for values in distinct:
                chosen = rows
                for key, value in values.items():
                    chosen = chosen.filter(pa.compute.equal(chosen[key], value))
                folder = "".join(f"{key}={value}/" for key, value in values.items())
                groups[folder] = chosen.drop_columns(keys)
        for folder, part in groups.items():
            sink = pa.BufferOutputStream()
            pq.write_table(part, sink, compression="zstd")
            key = f"{prefix}{folder}{uuid4().hex}"
            self.engine.s3.put_object(Bucket=bucket, Key=key, Body=sink.getvalue().to_pybytes())

    def _objects(self, location: str) -> list[tuple[str, str]]:
        bucket, prefix = _split(location)
        pages = self.engine.s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix
        )
        return [
            (bucket, item["Key"])
            for page in pages
            for item in page.get("Contents", [])
            if not item["Key"].rsplit("/", 1)[-1].startswith(("_", "."))
        ]

    def _require_empty(self, location: str) -> None:
        if self._objects(location):
            raise AthenaError(
                f"HIVE_PATH_ALREADY_EXISTS: Target directory for table already exists: {location}"
            )

    # ---- tables

    def _create(self, tree: exp.Create) -> Result:
        schema = tree.this
        name, properties = self._target(schema.this), _properties(tree)
        if self._exists(name):
            if tree.args.get("exists"):
                return Result("DDL")
            raise AthenaError(f"FAILED: AlreadyExistsException: Table {name[1]} already exists")
        location = properties.get("location")
        if not location:
            raise AthenaError("FAILED: LOCATION is required")
        columns = [
            pa.field(column.name.lower(), _arrow_of(column.kind), metadata=_comment(column))
            for column in schema.expressions
        ]
        partitioned = tree.find(exp.PartitionedByProperty)
        keys = list(partitioned.this.expressions) if partitioned else []
        if properties.get("table_type", "").upper() == "ICEBERG":
            self._create_iceberg(
                name, pa.schema(columns), location, [_partition_column(k.sql()) for k in keys]
            )
        elif tree.find(exp.ExternalProperty):
            partitions = [pa.field(key.name.lower(), _arrow_of(key.kind)) for key in keys]
            self._create_external(name, columns, partitions, location)
        else:
            raise AthenaError("FAILED: CREATE TABLE needs EXTERNAL or 'table_type'='ICEBERG'")
        return Result("DDL")

    def _create_as(self, tree: exp.Create) -> Result:
        name = self._target(tree.this)
        if self._exists(name):
            if tree.args.get("exists"):
                return Result("DDL")
            raise AthenaError(f"TABLE_ALREADY_EXISTS: Table '{'.'.join(name)}' already exists")
        properties = _properties(tree)
        rows = _lowered(self._rows(tree.expression))
        if len(set(rows.column_names)) < rows.num_columns:
            raise AthenaError("DUPLICATE_COLUMN_NAME: Column name specified more than once")
        if properties.get("table_type", "HIVE").upper() == "ICEBERG":
            location = properties.get("location")
            if not location:
                raise AthenaError("INVALID_TABLE_PROPERTY: location is required for Iceberg")
            self._require_empty(location)
            _refuse_unfit_types(rows.schema)
            partitions = [_partition_column(text) for text in properties.get("partitioning", [])]
            table = self._create_iceberg(name, _plain(rows.schema), location, partitions)
            try:
                self._append(table, rows.cast(_plain(rows.schema)))
            except AthenaError:
                self.engine._catalog.drop_table(name)
                raise
        else:
            location = properties.get("external_location")
            if not location:
                raise AthenaError("INVALID_TABLE_PROPERTY: external_location is required here")
            self._require_empty(location)
            keys = [key.lower() for key in properties.get("partitioned_by", [])]
            if keys and rows.column_names[-len(keys) :] != keys:
                raise AthenaError("HIVE_COLUMN_ORDER_MISMATCH: Partition keys must be last")
            rows = rows.cast(_hive(rows.schema), safe=False)
            self._write_parquet(rows, location, keys)
            fields = list(rows.schema)
            split = len(fields) - len(keys)
            self._create_external(name, fields[:split], fields[split:], location)
        return Result("DDL", updated=rows.num_rows)

    def _create_iceberg(
        self,
        name: tuple[str, str],
        schema: pa.Schema,
        location: str,
        partitions: list[str],
    ) -> Table:
        table = self.engine._catalog.create_table(name, schema, location=location.rstrip("/"))
        if partitions:
            with table.update_spec() as specification:
                for column in partitions:
                    specification.add_identity(column)
        return table

    def _create_external(
        self,
        name: tuple[str, str],
        columns: list[pa.Field],
        partitions: list[pa.Field],
        location: str,
    ) -> None:
        parquet = "org.apache.hadoop.hive.ql.io.parquet"
        self.engine.glue.create_table(
            DatabaseName=name[0],
            TableInput={
                "Name": name[1],
                "TableType": "EXTERNAL_TABLE",
                "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
                "PartitionKeys": [{"Name": f.name, "Type": _hive_type(f.type)} for f in partitions],
                "StorageDescriptor": {
                    "Columns": [{"Name": f.name, "Type": _hive_type(f.type)} for f in columns],
                    "Location": location,
                    "InputFormat": f"{parquet}.MapredParquetInputFormat",
                    "OutputFormat": f"{parquet}.MapredParquetOutputFormat",
                    "SerdeInfo": {
                        "SerializationLibrary": f"{parquet}.serde.ParquetHiveSerDe",
                    },
                },
            },
        )

    def _add_columns(self, tree: exp.Alter) -> Result:
        table = self.engine.iceberg(self._target(tree.this))
        columns = [column for action in tree.args["actions"] for column in action.expressions]
        if not columns or not all(isinstance(column, exp.ColumnDef) for column in columns):
            raise AthenaError("NOT_SUPPORTED: the emulator alters by ADD COLUMNS only")
        held = {field.name for field in table.schema().fields}
        if taken := held & {column.name.lower() for column in columns}:
            raise AthenaError(f"FAILED: Duplicate column name {taken.pop()}")
        fields = [
            pa.field(column.name.lower(), _arrow_of(column.kind), metadata=_comment(column))
            for column in columns
        ]
        with table.update_schema() as update:
            update.union_by_name(pa.schema(fields))
        return Result("DDL")

    def _drop(self, tree: exp.Drop) -> Result:
        name = self._target(next(tree.find_all(exp.Table)))
        if not self._exists(name):
            if tree.args.get("exists"):
                return Result("DDL")
            raise AthenaError(f"FAILED: SemanticException Table not found {name[1]}")
        found = self.engine.find(name)
        location = found["StorageDescriptor"]["Location"]
        self.engine.glue.delete_table(DatabaseName=name[0], Name=name[1])
        if _is_iceberg(found):
            for bucket, key in self._objects(location):
                self.engine.s3.delete_object(Bucket=bucket, Key=key)
        return Result("DDL")

    # ---- rows

    def _insert(self, tree: exp.Insert) -> Result:
        target = tree.this
        columns = None
        if isinstance(target, exp.Schema):
            columns = [column.name.lower() for column in target.expressions]
            target = target.this
        name = self._target(target)
        found = self.engine.find(name)
        source = tree.expression.copy()
        if tree.args.get("with_"):
            source.set("with_", tree.args["with_"].copy())
        rows = self._rows(source)
        if _is_iceberg(found):
            table = self.engine.iceberg(name)
            self._append(table, _fitted(rows, table.schema().as_arrow(), columns))
        else:
            schema = self._read_external(found).schema
            keys = [column["Name"] for column in found.get("PartitionKeys", [])]
            location = found["StorageDescriptor"]["Location"]
            self._write_parquet(_fitted(rows, schema, columns), location, keys)
        return Result("DML", ["rows"], ["bigint"], None, rows.num_rows)

    def _change(self, tree: exp.Delete | exp.Update | exp.Merge) -> Result:
        """DELETE, UPDATE and MERGE: run on a copy; files with a touched row are rewritten."""
        tree = tree.copy()
        target = tree.this
        name = self._target(target)
        found = self.engine.find(name)
        if not _is_iceberg(found):
            raise AthenaError("NOT_SUPPORTED: Modifying Hive table rows is not supported")
        table = self.engine.iceberg_of(found)
        tasks = list(table.scan().plan_files())
        rows = self._rows_with_files(table, tasks)
        self.connection.register("__target_rows", rows)
        self.connection.execute("CREATE TABLE __target AS SELECT * FROM __target_rows")
        alias = target.alias or target.name
        target.replace(
            exp.Table(
                this=exp.to_identifier("__target"),
                alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)),
            )
        )
        for part in ("using", "where", "expressions", "on", "whens"):
            value = tree.args.get(part)
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, exp.Table):
                    tree.set(part, self._bound_source(item))
                elif isinstance(item, exp.Expr):
                    self._bind_tables(item)
        if isinstance(tree, exp.Merge):
            self._refuse_double_matches(tree)
        _mark_changes(tree)
        updated = self.connection.execute(to_duckdb(tree)).fetchone()
        self._write_back(table, tasks)
        return Result("DML", ["rows"], ["bigint"], None, updated[0] if updated else 0)

    def _bound_source(self, table: exp.Table) -> exp.Table:
        holder = exp.select("*").from_(table)
        self._bind_tables(holder)
        return holder.find(exp.Table)  # type: ignore[return-value]

    def _rows_with_files(self, table: Table, tasks: list[Any]) -> pa.Table:
        schema = table.schema().as_arrow()
        parts = [schema.append(pa.field(FILE_COLUMN, pa.int64())).empty_table()]
        scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
        for number, task in enumerate(tasks):
            part = scan.to_table([task]).cast(schema)
            parts.append(
                part.append_column(FILE_COLUMN, pa.array([number] * part.num_rows, pa.int64()))
            )
        return pa.concat_tables(parts)

    def _refuse_double_matches(self, tree: exp.Merge) -> None:
        numbered = self.connection.sql("SELECT *, rowid AS __row FROM __target").to_arrow_table()
        self.connection.register("__checked", numbered)
        target = exp.Table(
            this=exp.to_identifier("__checked"),
            alias=exp.TableAlias(this=exp.to_identifier(tree.this.alias, quoted=True)),
        )
        matches = exp.select("1").from_(target)
        matches = matches.join(tree.args["using"].copy(), on=tree.args["on"].copy())
        checked = f"{to_duckdb(matches)} GROUP BY __row HAVING count(*) > 1 LIMIT 1"
        if self.connection.sql(checked).fetchall():
            raise AthenaError(
                "MERGE_TARGET_ROW_MULTIPLE_MATCHES: "
                "One MERGE target table row matched more than one source row"
            )

    def _write_back(self, table: Table, tasks: list[Any]) -> None:
        held = dict(
            self.connection.sql(
                f"SELECT {FILE_COLUMN}, count(*) FROM __target "
                f"WHERE {FILE_COLUMN} IS NOT NULL GROUP BY ALL"
            ).fetchall()
        )
        touched = [
            number
            for number, task in enumerate(tasks)
            if held.get(number, 0) != task.file.record_count
        ]
        inside = ", ".join(map(str, touched)) or "-1"
        rows = self.connection.sql(
            f"SELECT * EXCLUDE ({FILE_COLUMN}) FROM __target "
            f"WHERE {FILE_COLUMN} IS NULL OR {FILE_COLUMN} IN ({inside})"
        ).to_arrow_table()
        if not touched and not rows.num_rows:
            return
        self._commit(
            table,
            rows.cast(table.schema().as_arrow()),
            [tasks[number].file for number in touched],
            exclusive=True,
        )

    def _append(self, table: Table, rows: pa.Table) -> None:
        self._commit(table, rows.cast(table.schema().as_arrow()), [])

    def _commit(
        self, table: Table, rows: pa.Table, removed: list[Any], *, exclusive: bool = False
    ) -> None:
        """One snapshot; a change of rows fails where somebody else committed meanwhile."""
        added = list(_dataframe_to_data_files(table.metadata, rows, table.io)) if rows else []
        _require_few_partitions(len({str(file.partition) for file in added}), "ICEBERG")
        if not added and not removed:
            return
        seen = table.current_snapshot()
        with self.engine._commits:
            table.refresh()
            now = table.current_snapshot()
            if exclusive and (seen and seen.snapshot_id) != (now and now.snapshot_id):
                raise AthenaError(
                    "ICEBERG_COMMIT_ERROR: Failed to commit during write: "
                    "Found conflicting files that can contain records"
                )
            with table.transaction() as transaction:
                update = transaction.update_snapshot()
                with update.overwrite() if removed else update.fast_append() as change:
                    for file in removed:
                        change.delete_data_file(file)
                    for file in added:
                        change.append_data_file(file)

    # ---- names

    def _target(self, table: exp.Expr) -> tuple[str, str]:
        while not isinstance(table, exp.Table):
            table = table.this
        return (table.db or self.database, table.name.lower())

    def _name_of(self, text: str) -> tuple[str, str]:
        parts = [part.strip('`"') for part in text.split(".")]
        return (parts[-2] if len(parts) > 1 else self.database, parts[-1])

    def _exists(self, name: tuple[str, str]) -> bool:
        try:
            self.engine.find(name)
        except AthenaError:
            return False
        return True


def _listing(name: str, values: list[str]) -> Result:
    return Result("UTILITY", [name], ["string"], pa.table({"c0": pa.array(values, pa.string())}))


def _mark_changes(tree: exp.Expr) -> None:
    """Make every changed and new row lose the number of the file that it came from."""
    null = exp.EQ(this=exp.column(FILE_COLUMN), expression=exp.null())
    if isinstance(tree, exp.Update):
        tree.append("expressions", null)
    for update in tree.find_all(exp.Update):
        if update is not tree:
            update.append("expressions", null.copy())


def _as_text(column: str, kind: str) -> str:
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"strftime({column}, '%Y-%m-%d %H:%M:%S.%f') || ' UTC'"
    if kind.startswith("TIMESTAMP"):
        digits = "%g" if kind == "TIMESTAMP_MS" else "%f"
        return f"strftime({column}, '%Y-%m-%d %H:%M:%S.{digits}')"
    if kind in ("DOUBLE", "FLOAT"):
        return (
            f"CASE WHEN isnan({column}) THEN 'NaN' WHEN isinf({column}) THEN "
            f"CASE WHEN {column} > 0 THEN 'Infinity' ELSE '-Infinity' END "
            f"ELSE CAST({column} AS VARCHAR) END"
        )
    return f"CAST({column} AS VARCHAR)"


def _athena_type(kind: str) -> str:
    if kind.endswith("[]"):
        return "array"
    base = kind.split("(")[0]
    return {
        "BLOB": "varbinary",
        '"NULL"': "unknown",
        "TIMESTAMP_MS": "timestamp",
        "STRUCT": "row",
    }.get(base, base.lower())


def _arrow_of(kind: exp.DataType) -> pa.DataType:
    return _arrow_type(kind.sql(dialect="hive"))


def _arrow_type(text: str) -> pa.DataType:
    text = text.lower()
    if match := re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", text):
        return pa.decimal128(int(match[1]), int(match[2]))
    base = text.split("(")[0]
    kinds = {
        "string": pa.string(),
        "varchar": pa.string(),
        "char": pa.string(),
        "bigint": pa.int64(),
        "int": pa.int32(),
        "integer": pa.int32(),
        "smallint": pa.int16(),
        "tinyint": pa.int8(),
        "double": pa.float64(),
        "float": pa.float32(),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us"),
        "date": pa.date32(),
        "binary": pa.binary(),
    }
    if base not in kinds:
        raise AthenaError(f"NOT_SUPPORTED: the emulator has no type {text}")
    return kinds[base]


def _hive_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    names = {
        pa.string(): "string",
        pa.int64(): "bigint",
        pa.int32(): "int",
        pa.int16(): "smallint",
        pa.int8(): "tinyint",
        pa.float64(): "double",
        pa.float32(): "float",
        pa.bool_(): "boolean",
        pa.date32(): "date",
        pa.binary(): "binary",
    }
    return "timestamp" if pa.types.is_timestamp(kind) else names[kind]


def _hive(schema: pa.Schema) -> pa.Schema:
    """Hive's timestamps have milliseconds."""
    return pa.schema(
        [
            field.with_type(pa.timestamp("ms")) if pa.types.is_timestamp(field.type) else field
            for field in _plain(schema)
        ]
    )


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [
            field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
            for field in schema
        ]
    )


def _refuse_unfit_types(schema: pa.Schema) -> None:
    for column in schema:
        kind = column.type
        if pa.types.is_timestamp(kind) and kind.unit == "ms":
            raise AthenaError(
                "NOT_SUPPORTED: Timestamp precision (3) not supported for Iceberg. "
                'Use "timestamp(6)" instead.'
            )
        if kind in (pa.int8(), pa.int16()) or pa.types.is_null(kind) or pa.types.is_duration(kind):
            raise AthenaError(f"NOT_SUPPORTED: Type not supported for Iceberg: {kind}")


def _fitted(rows: pa.Table, schema: pa.Schema, columns: list[str] | None) -> pa.Table:
    """The rows by position in the table's columns; what Trino would not coerce is refused."""
    names = columns or [field.name.lower() for field in schema]
    if len(names) != rows.num_columns:
        raise AthenaError(
            f"TYPE_MISMATCH: Insert query has {rows.num_columns} columns, the table {len(names)}"
        )
    given = dict(zip(names, rows.columns, strict=True))
    if unknown := set(given) - {field.name.lower() for field in schema}:
        raise AthenaError(f"COLUMN_NOT_FOUND: Insert column name does not exist: {unknown.pop()}")
    arrays = []
    for column in schema:
        values = given.get(column.name.lower(), pa.nulls(rows.num_rows, column.type))
        is_null = values.null_count == len(values)
        if not is_null and not _coercible(values.type, column.type):
            raise AthenaError(
                f"TYPE_MISMATCH: Insert query has mismatched column types: {column.name} is "
                f"{column.type}, the query gives {values.type}"
            )
        arrays.append(
            pa.nulls(len(values), column.type) if is_null else values.cast(column.type, safe=False)
        )
    return pa.Table.from_arrays(arrays, schema=schema)


def _coercible(given: pa.DataType, wanted: pa.DataType) -> bool:
    kinds = pa.types
    if given == wanted or kinds.is_null(given):
        return True
    texts = (kinds.is_string, kinds.is_large_string)
    if any(is_text(given) for is_text in texts):
        return any(is_text(wanted) for is_text in texts)
    if kinds.is_integer(given):
        widens = kinds.is_integer(wanted) and wanted.bit_width >= given.bit_width
        return bool(kinds.is_floating(wanted) or widens)
    if kinds.is_floating(given):
        return bool(kinds.is_floating(wanted) and wanted.bit_width >= given.bit_width)
    if kinds.is_decimal(given):
        return bool(kinds.is_floating(wanted) or kinds.is_decimal(wanted))
    if kinds.is_timestamp(given) and kinds.is_timestamp(wanted):
        return bool(given.tz == wanted.tz)
    return bool(kinds.is_date(given) and kinds.is_timestamp(wanted))


def _properties(tree: exp.Create) -> dict[str, Any]:
    found: dict[str, Any] = {}
    properties = tree.args.get("properties")
    for item in properties.expressions if properties else []:
        if isinstance(item, exp.LocationProperty):
            found["location"] = item.this.name
        elif type(item) is exp.Property:
            value = item.args["value"]
            found[item.this.name.lower()] = (
                [element.name for element in value.expressions]
                if isinstance(value, exp.Array)
                else value.name
            )
        elif isinstance(item, exp.PartitionedByProperty) and isinstance(item.this, exp.Array):
            found["partitioned_by"] = [element.name for element in item.this.expressions]
    return found


def _partition_column(text: str) -> str:
    if not re.fullmatch(r'"?\w+"?', text):
        raise AthenaError(f"NOT_SUPPORTED: the emulator has no partition transform {text}")
    return text.strip('"').lower()


def _comment(column: exp.ColumnDef) -> dict[str, str] | None:
    comment = column.find(exp.CommentColumnConstraint)
    return {"doc": comment.this.name} if comment else None


def _require_few_partitions(count: int, connector: str) -> None:
    if count > MOST_PARTITIONS:
        raise AthenaError(
            f"{connector}_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of {MOST_PARTITIONS} open "
            "writers for partitions/buckets"
        )


def _is_iceberg(found: dict[str, Any]) -> bool:
    return str(found.get("Parameters", {}).get("table_type", "")).upper() == "ICEBERG"


def _lowered(rows: pa.Table) -> pa.Table:
    return rows.rename_columns([name.lower() for name in rows.column_names])


def _split(location: str) -> tuple[str, str]:
    parsed = urlparse(location)
    return parsed.netloc, parsed.path.strip("/") + "/"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
