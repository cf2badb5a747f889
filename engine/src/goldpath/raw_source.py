"""Where a contract's raw rows come from, and when each of them became true."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    """A part of the contract: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Part):
    """Where raw rows come from: files, or a query.

    Attributes:
        path: CSV, Parquet or JSON lines: a file, a folder, a glob (`data/raw/*.csv`), or an S3
            prefix (`s3://bucket/raw/`). A relative path starts at the project's root.
        query: A SQL query instead of files.
        url_variable: The environment variable that holds the query's SQLAlchemy URL; a URL holds
            a password, so it is never written into the contract.
        delimiter: CSV: what separates two fields.
        encoding: CSV and JSON lines: how the text is encoded.
        decimal: CSV: the decimal mark.
        thousands: Columns whose numbers are written in groups of three digits, each with the mark
            between its groups: `{visits: ","}` where 1,531 is 1531.
        skip_lines: CSV: lines before the header, such as a title.
    """

    path: str = ""
    query: str | None = None
    url_variable: str = "MLOPS_SOURCE_URL"
    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."
    thousands: dict[str, Literal[",", ".", "'", " "]] = {}
    skip_lines: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def check_one_kind(self) -> Self:
        """Either files or a query."""
        if bool(self.path) == bool(self.query):
            raise ValueError("source needs either a path or a query, and not both")
        return self

    @property
    def name(self) -> str:
        """What people call it: the path, or the variable that names the database."""
        return self.path or f"query on ${self.url_variable}"


class EventTime(Part):
    """When a row became true.

    Attributes:
        column: The raw column with the date or the timestamp.
        more_columns: Raw columns that hold the rest of it, such as month, day and hour. The format
            reads their texts one after the other, with a blank between them.
        format: `strptime` format; ISO 8601 where it is not given. `%s` stands for seconds since
            1970, `%s%f` for milliseconds.
        more_formats: Tried in this order where a text does not fit the format.
        hour_column: A raw column with the hour (0 to 23) that is added to a date.
        interval: The unit that tables are partitioned by and that is recomputed as a whole.
    """

    column: str
    more_columns: tuple[str, ...] = ()
    format: str | None = None
    more_formats: tuple[str, ...] = ()
    hour_column: str | None = None
    interval: Literal["day", "month", "year"] = "month"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every raw column that the time is read from."""
        hour = (self.hour_column,) if self.hour_column else ()
        return (self.column, *self.more_columns, *hour)

    @model_validator(mode="after")
    def check_columns(self) -> Self:
        """Several columns need a format that says what each one is."""
        if self.more_columns and self.format is None:
            raise ValueError("event_time.more_columns need a format, such as '%Y %m %d %H'")
        return self
