"""Whether a file carries a pickle, by its name and by its content.

A pickle runs code when it is read. Nothing of ours reads one; this scan is what lets a signature
promise that nobody else's tool will be made to either. It opens what hides one: zip archives and
NumPy's (a skops file is a zip), compressed files, and the flavours that MLmodel names.
"""

import bz2
import gzip
import io
import lzma
import pickletools  # nosec B403  reads opcodes, runs none
import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

import yaml

PICKLE_SUFFIXES = frozenset({".cloudpickle", ".dill", ".joblib", ".pck", ".pickle", ".pkl"})
PICKLE_FORMATS = frozenset({"cloudpickle", "dill", "joblib", "pickle"})
PICKLE_PROTOCOL = re.compile(rb"\x80[\x00-\x05]")
NUMPY_MAGIC = b"\x93NUMPY"
OBJECT_DTYPE = re.compile(rb"""['"][|<>=]?O\d*['"]""")
"""How the header of an .npy file spells a dtype whose values NumPy writes as a pickle."""

IMPORTED_NAME = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
MOST_OPCODES = 100_000
DEEPEST_ARCHIVE = 4
HEAD_BYTES = 1 << 20


def find_pickle(file: Path, name: str) -> str | None:
    """Why a file counts as one that carries a pickle; None where it carries none.

    Args:
        file: The file.
        name: Its path in the model's folder, with forward slashes.
    """
    if reason := pickle_name(name):
        return reason
    if PurePosixPath(name).name == "MLmodel":
        return pickle_flavour(file.read_bytes())
    with file.open("rb") as stream:
        return scan_stream(stream)


def pickle_name(name: str) -> str | None:
    """The reason where the name alone says pickle."""
    suffixes = {suffix.lower() for suffix in PurePosixPath(name).suffixes}
    found = sorted(suffixes & PICKLE_SUFFIXES)
    return f"its name ends in {found[0]}" if found else None


def pickle_flavour(content: bytes) -> str | None:
    """The reason where an MLmodel file names a flavour that is stored as a pickle."""
    try:
        model = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError):
        return "it is not YAML, so the flavours cannot be read"
    flavours = model.get("flavors") if isinstance(model, dict) else None
    if not isinstance(flavours, dict):
        return "it names no flavours"
    for flavour, values in flavours.items():
        for key, value in values.items() if isinstance(values, dict) else ():
            text = str(value).lower()
            if key.endswith("serialization_format") and text in PICKLE_FORMATS:
                return f"flavour {flavour} is stored as {text}"
            if key == "python_model" and isinstance(value, str) and not text.endswith(".py"):
                return f"flavour {flavour} holds a pickled Python object, {value}"
            if isinstance(value, str) and (reason := pickle_name(text)):
                return f"flavour {flavour}, {key}: {reason}"
        if flavour == "sklearn" and "serialization_format" not in (values or {}):
            return "flavour sklearn without serialization_format is a pickle"
    return None


def scan_stream(stream: IO[bytes], depth: int = 0) -> str | None:
    """The reason where what can be read from a seekable stream is, or holds, a pickle."""
    head = stream.read(4096)
    if head.startswith(NUMPY_MAGIC):
        header = head[len(NUMPY_MAGIC) : 4096].split(b"\n", 1)[0]
        if OBJECT_DTYPE.search(header):
            return "it is a NumPy array of objects, which is a pickle"
        return None
    if reason := _opcodes(stream, head):
        return reason
    stream.seek(0)
    if zipfile.is_zipfile(stream):
        stream.seek(0)
        return _archive(stream, depth)
    if unpacked := _unpacked(stream, head):
        if depth >= DEEPEST_ARCHIVE:
            return "it is compressed too many times over to be looked into"
        found = scan_stream(io.BytesIO(unpacked), depth + 1)
        return f"compressed: {found}" if found else None
    return None


def _opcodes(stream: IO[bytes], head: bytes) -> str | None:
    if PICKLE_PROTOCOL.match(head):
        return "it starts with a pickle's protocol mark"
    stream.seek(0)
    read, texts = 0, 0
    try:
        while True:  # a file may hold several, one after the other
            for opcode, argument, _ in pickletools.genops(stream):
                read += 1
                if opcode.name in ("GLOBAL", "INST") and IMPORTED_NAME.fullmatch(str(argument)):
                    return f"it is a pickle that imports {str(argument).replace(' ', '.')}"
                texts += opcode.name.endswith(("UNICODE", "UNICODE8", "STRING"))
                if opcode.name == "STACK_GLOBAL" and texts:
                    return "it is a pickle that imports by name"
                if read > MOST_OPCODES:
                    return "its opcodes are those of a pickle"
            place = stream.tell()
            if not stream.read(1):
                # A text that is a full stop is no pickle; a value and a stop is one.
                return "its opcodes are those of a pickle" if read > 1 else None
            stream.seek(place)
    except (ValueError, IndexError, OverflowError, MemoryError):
        return None  # not a pickle: what unpickles it would stop here too, having imported nothing


def _archive(stream: IO[bytes], depth: int) -> str | None:
    if depth >= DEEPEST_ARCHIVE:
        return "it holds archives in archives too deep to be looked into"
    try:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                found = pickle_name(member.filename)
                if not found:
                    with archive.open(member) as inside:
                        found = scan_stream(inside, depth + 1)
                if found:
                    return f"its part {member.filename!r}: {found}"
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return f"it is an archive that cannot be read ({error})"
    return None


def _unpacked(stream: IO[bytes], head: bytes) -> bytes:
    """The first bytes of a compressed file; empty where it is not one. joblib writes all four."""
    stream.seek(0)
    try:
        if head.startswith(b"\x1f\x8b"):
            return gzip.GzipFile(fileobj=stream).read(HEAD_BYTES)
        if head.startswith(b"BZh"):
            return bz2.BZ2File(stream).read(HEAD_BYTES)
        if head.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
            return lzma.LZMAFile(stream).read(HEAD_BYTES)
        if int.from_bytes(head[:2], "big") % 31 == 0:  # zlib's, whatever its window
            return zlib.decompressobj().decompress(stream.read(HEAD_BYTES), HEAD_BYTES)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return b""
    return b""
