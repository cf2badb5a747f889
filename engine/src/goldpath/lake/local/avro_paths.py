"""Changing the paths in Iceberg's Avro files (manifests and manifest lists), and nothing else.

pyiceberg writes such files only as part of a commit, so a file is read here as its own schema says
(https://avro.apache.org/docs/1.11.1/specification/) and written again value by value.
"""

import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goldpath.lake.lakehouse import LakehouseError

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MANIFEST_PATH, MANIFEST_LENGTH = "manifest_path", "manifest_length"
NewPath = Callable[[str], str]
DAMAGE = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
    zlib.error,
)
"""What reading a torn or overwritten file raises."""

OTHER_CODECS = ("bzip2", "snappy", "xz", "zstandard")


def rewrite_paths(file: Path, new_path: NewPath) -> bool:
    """Give each text of an Avro file the path that it shall have; replaced in one step.

    Args:
        file: A manifest, or a manifest list whose manifests have their new sizes already.
        new_path: The new text for each text.

    Returns:
        Whether anything was changed.

    Raises:
        ValueError: If the file is damaged.
        LakehouseError: If it is whole, and compressed in a way that is not known here.
    """
    before = file.read_bytes()
    try:
        after = _rewritten(before, new_path)
    except DAMAGE as error:
        raise ValueError(f"{file} is not an Avro file that can be read: {error}") from error
    if after == before:
        return False
    draft = file.with_name(f".{file.name}.draft")
    draft.write_bytes(after)
    draft.replace(file)
    return True


def _rewritten(content: bytes, new_path: NewPath) -> bytes:
    if not content.startswith(MAGIC):
        raise ValueError("it does not begin like one")
    source = io.BytesIO(content)
    source.seek(len(MAGIC))
    meta: dict[str, bytes] = {}
    while count := _read_long(source):
        if count < 0:  # a block that says its size
            _read_long(source)
        for _ in range(abs(count)):
            name = _read_bytes(source).decode("utf-8")
            meta[name] = _read_bytes(source)
    sync = _read(source, SYNC_BYTES)
    codec = meta.get("avro.codec", b"null").decode("ascii")
    if codec in OTHER_CODECS:  # left as it is, it would go on naming the other folder's files
        raise LakehouseError(
            f"a manifest's avro.codec is {codec!r}, and 'null' or 'deflate' was expected",
            "write the table's metadata with write.avro.compression-codec=gzip before it is copied",
        )
    if codec not in ("null", "deflate"):
        raise ValueError(f"its compression {codec} is not known here")
    schema = json.loads(meta["avro.schema"])
    target = io.BytesIO()
    target.write(content[: source.tell()])
    while source.tell() < len(content):
        records, block = _read_long(source), _read_bytes(source)
        if _read(source, SYNC_BYTES) != sync:
            raise ValueError("a block ends where it should not")
        old = io.BytesIO(zlib.decompress(block, -zlib.MAX_WBITS) if codec == "deflate" else block)
        new = io.BytesIO()
        copier = _Copier(old, new, new_path)
        for _ in range(records):
            copier.copy(schema)
        if not copier.changed:
            rows = block
        elif codec == "deflate":
            packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            rows = packer.compress(new.getvalue()) + packer.flush()
        else:
            rows = new.getvalue()
        _write_long(target, records)
        _write_bytes(target, rows)
        target.write(sync)
    return target.getvalue()


class _Copier:
    """Copies values of a schema from one stream to another; texts go through `new_path`."""

    def __init__(self, source: io.BytesIO, target: io.BytesIO, new_path: NewPath) -> None:
        self.source = source
        self.target = target
        self.new_path = new_path
        self.changed = False
        self.named: dict[str, Any] = {}

    def copy(self, schema: Any) -> Any:
        """Copy one value; returns it where it is a text or a whole number."""
        if isinstance(schema, list):
            choice = _read_long(self.source)
            _write_long(self.target, choice)
            return self.copy(schema[choice])
        if isinstance(schema, str):
            return self.copy(self.named[schema]) if schema in self.named else self._plain(schema)
        kind = schema["type"]
        if kind == "record":
            self.named[schema["name"]] = schema
            return self._record(schema["fields"])
        if kind in ("array", "map"):
            return self._blocks(schema)
        if kind == "fixed":
            self.named[schema["name"]] = schema
            return self.target.write(_read(self.source, schema["size"]))
        if kind == "enum":
            self.named[schema["name"]] = schema
            return self._plain("int")
        return self.copy(kind)

    def _plain(self, kind: str) -> Any:
        if kind == "null":
            return None
        if kind in ("int", "long"):
            number = _read_long(self.source)
            _write_long(self.target, number)
            return number
        if kind == "string":
            text = _read_bytes(self.source).decode("utf-8")
            new = self.new_path(text)
            self.changed |= new != text
            _write_bytes(self.target, new.encode("utf-8"))
            return new
        if kind == "bytes":
            return _write_bytes(self.target, _read_bytes(self.source))
        return self.target.write(_read(self.source, {"boolean": 1, "float": 4, "double": 8}[kind]))

    def _record(self, fields: list[dict[str, Any]]) -> None:
        path = ""
        for field in fields:
            start = self.target.tell()
            value = self.copy(field["type"])
            if field["name"] == MANIFEST_PATH:
                path = value
            elif field["name"] == MANIFEST_LENGTH and path:
                size = _size(Path(path.removeprefix("file://")))
                if size is not None and size != value:
                    self.target.seek(start)
                    self.target.truncate()
                    _write_long(self.target, size)
                    self.changed = True

    def _blocks(self, schema: Any) -> None:
        while count := _read_long(self.source):
            if count < 0:
                _read_long(self.source)
            _write_long(self.target, abs(count))
            for _ in range(abs(count)):
                if schema["type"] == "map":
                    _write_bytes(self.target, _read_bytes(self.source))
                    self.copy(schema["values"])
                else:
                    self.copy(schema["items"])
        _write_long(self.target, 0)


def _size(manifest: Path) -> int | None:
    """A manifest's size; None if it is gone: whoever needs it is told so when reading it."""
    try:
        return manifest.stat().st_size
    except FileNotFoundError:
        return None


def _read(source: io.BytesIO, size: int) -> bytes:
    found = source.read(size)
    if size < 0 or len(found) != size:
        raise ValueError("it ends too early")
    return found


def _read_long(source: io.BytesIO) -> int:
    """A zigzag-coded whole number of any length."""
    value = shift = 0
    while True:
        byte = _read(source, 1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1)
        shift += 7


def _write_long(target: io.BytesIO, value: int) -> None:
    coded = (value << 1) ^ (value >> 63)
    while coded >= 0x80:
        target.write(bytes([coded & 0x7F | 0x80]))
        coded >>= 7
    target.write(bytes([coded]))


def _read_bytes(source: io.BytesIO) -> bytes:
    return _read(source, _read_long(source))


def _write_bytes(target: io.BytesIO, value: bytes) -> None:
    _write_long(target, len(value))
    target.write(value)
