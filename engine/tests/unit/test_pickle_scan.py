"""What makes a file count as one that carries a pickle, reason by reason."""

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from goldpath.trust import pickle_scan
from goldpath.trust.pickle_scan import find_pickle, pickle_flavour, pickle_name, scan_stream

PICKLED = pickle.dumps({"weights": [1, 2]}, protocol=0)
IMPORTING = b"cos\nsystem\n(S'true'\ntR."


def scanned(content: bytes, depth: int = 0) -> str | None:
    return scan_stream(io.BytesIO(content), depth)


def archived(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("folder")
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["pkl", "pickle", "pck", "joblib", "dill", "cloudpickle", "PKL"])
def test_a_name_says_pickle_by_any_of_its_suffixes(suffix: str) -> None:
    assert pickle_name(f"a/model.{suffix}") == f"its name ends in .{suffix.lower()}"
    assert pickle_name(f"a/model.{suffix}.gz") == f"its name ends in .{suffix.lower()}"
    assert pickle_name(f"a.{suffix}/model.bin") is None, "of the folder, not of the file"
    assert pickle_name(suffix) is None
    assert pickle_name(f"model{suffix}.bin") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("flavors: {python_function: {loader_module: mlflow.sklearn}}", None),
        ("flavors: {sklearn: {serialization_format: skops, n: 1}}", None),
        ("flavors: {sklearn: {serialization_format: pickle}}", "sklearn is stored as pickle"),
        ("flavors: {a: {x_serialization_format: DILL}}", "a is stored as dill"),
        ("flavors: {a: {b: 1}, c: {serialization_format: joblib}}", "c is stored as joblib"),
        ("flavors: {a: {format: pickle}}", None),
        ("flavors: {sklearn: {n: 1}}", "sklearn without serialization_format"),
        ("flavors: {sklearn: }", "sklearn without serialization_format"),
        ("flavors: {other: {n: 1}, none: }", None),
        ("flavors: {a: {python_model: model.bin}}", "holds a pickled Python object, model.bin"),
        ("flavors: {a: {python_model: model.PY}}", None),
        ("flavors: {a: {python_model: {x: 1}}}", None),
        ("flavors: {a: {other: model.bin}}", None),
        ("flavors: {a: {data: 'model/data.pkl'}}", "flavour a, data: its name ends in .pkl"),
        ("flavors: {a: {data: 1.5, more: [x.pkl]}}", None),
        ("flavors: {}", None),
        ("flavors: [a]", "it names no flavours"),
        ("flavors: text", "it names no flavours"),
        ("other: {}", "it names no flavours"),
        ("[flavors]", "it names no flavours"),
        ("", "it names no flavours"),
        ("{", "it is not YAML"),
    ],
)
def test_a_flavour_says_how_it_is_stored(content: str, said: str | None) -> None:
    found = pickle_flavour(content.encode())
    assert found == said or (said is not None and found is not None and said in found)


def test_a_file_called_mlmodel_is_read_as_one_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_bytes(b"\xff\xfe\x00")
    assert find_pickle(tmp_path / "MLmodel", "a/MLmodel") is not None
    (tmp_path / "MLmodel").write_bytes(b"flavors: {sklearn: {n: 1}}")
    assert find_pickle(tmp_path / "MLmodel", "a/MLmodel") is not None
    assert find_pickle(tmp_path / "MLmodel", "MLmodel/text") is None
    assert find_pickle(tmp_path / "MLmodel", "a.pkl") == "its name ends in .pkl"


def test_arrays_of_numbers_are_none_and_arrays_of_objects_are() -> None:
    for array, said in (
        (np.arange(9.0), None),
        (np.array(["a", "bc"]), None),
        (np.zeros(2, dtype=[("a", "<f8"), ("b", "S3")]), None),
        (np.array([{}], dtype=object), "NumPy array of objects"),
        (np.zeros(2, dtype=[("a", "<f8"), ("b", "O")]), "NumPy array of objects"),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        found = scanned(buffer.getvalue())
        assert (found is None) == (said is None), array.dtype
        assert said is None or said in str(found)
    # What follows the header is data, whatever it spells.
    buffer = io.BytesIO()
    np.save(buffer, np.frombuffer(b"'|O'" * 4, dtype="u1"))
    assert scanned(buffer.getvalue()) is None


def test_a_protocol_mark_is_one_only_at_the_beginning() -> None:
    for protocol in range(2, 6):
        mark = b"\x80" + bytes([protocol])
        assert scanned(mark + b"anything") == "it starts with a pickle's protocol mark"
        assert scanned(b"x" + mark + b"anything") is None
    assert scanned(b"\x80\x06anything") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (IMPORTING, "imports os.system"),
        (b"(S'ls'\nios\nsystem\n.", "imports os.system"),
        (b"cnot a name\nat all\n.", "opcodes are those of a pickle"),
        (b"\x8c\x02os\x8c\x06system\x93.", "imports by name"),
        (b"S'os'\nS'system'\n\x93.", "imports by name"),
        (b"X\x02\x00\x00\x00os\x93", "imports by name"),
        (b"\x8d\x02\x00\x00\x00\x00\x00\x00\x00os\x93", "imports by name"),
        (b"I1\n.", "opcodes are those of a pickle"),
        (b"N.", "opcodes are those of a pickle"),
        (b"I1\n." + IMPORTING, "imports os.system"),
        (b"I1\n.I2\n." + IMPORTING, "imports os.system"),
        (b".", None),
        (b"", None),
        (b"N", None),
        (b"a text\n", None),
        (b"N.a text", None),
    ],
)
def test_opcodes_are_read_as_what_unpickles_would(content: bytes, said: str | None) -> None:
    found = scanned(content)
    assert (found is None) == (said is None), found
    assert said is None or said in str(found)


def test_so_many_opcodes_are_those_of_a_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_scan, "MOST_OPCODES", 5)
    assert scanned(b"N" * 5 + b"\xff") is None
    assert scanned(b"N" * 6 + b"\xff") == "its opcodes are those of a pickle"


def test_an_archive_is_what_its_parts_are() -> None:
    assert scanned(archived(a=b"a text", b=b"another")) is None
    assert scanned(archived(a=b"a text", b=PICKLED)) == (
        "its part 'b': its opcodes are those of a pickle"
    )
    assert "its part 'x.pkl': its name ends" in str(scanned(archived(**{"x.pkl": b"text"})))
    inner = archived(w=IMPORTING)
    assert (
        scanned(archived(a=inner))
        == "its part 'a': its part 'w': it is a pickle that imports os.system"
    )


def test_archives_in_archives_are_looked_into_so_deep_and_then_refused() -> None:
    content = archived(a=b"a text")
    for depth in range(pickle_scan.DEEPEST_ARCHIVE + 1):
        found = scanned(content)
        assert (found is None) == (depth < pickle_scan.DEEPEST_ARCHIVE), depth
        content = archived(a=content)
    assert pickle_scan.DEEPEST_ARCHIVE == 4
    assert "archives in archives" in str(found)
    packed = b"a text"
    for depth in range(pickle_scan.DEEPEST_ARCHIVE + 2):
        found = scanned(packed)
        assert (found is None) == (depth <= pickle_scan.DEEPEST_ARCHIVE), depth
        packed = gzip.compress(packed)
    packed = gzip.compress(b"a text")
    assert scanned(packed, 3) is None
    assert "compressed too many times" in str(scanned(packed, 4))
    assert "compressed too many times" in str(scanned(packed, 5))
    assert scanned(archived(a=b""), 3) is None
    assert "archives in archives" in str(scanned(archived(a=b""), 5))


def damaged(content: bytes) -> bytes:
    """An archive whose list of parts is whole, and whose first part is not."""
    place = content.index(b"a text")
    return content[:place] + b"b" + content[place + 1 :]


def test_an_archive_that_cannot_be_read_is_refused() -> None:
    assert "cannot be read" in str(scanned(damaged(archived(a=b"a text"))))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"a text" * 100)
    content = bytearray(buffer.getvalue())
    place = content.index(b"a", 30) + 1
    content[place : place + 4] = b"\xff\xff\xff\xff"
    assert "cannot be read" in str(scanned(bytes(content)))
    locked = bytearray(archived(a=b"a text"))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = locked.rindex(mark)
        locked[place + flags] |= 1
    assert "cannot be read" in str(scanned(bytes(locked))), "a password"
    unknown = bytearray(archived(a=b"a text"))
    for mark, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = unknown.rindex(mark)
        unknown[place + method] = 77
    assert "cannot be read" in str(scanned(bytes(unknown))), "a compression of nobody's"


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    **{f"zlib {level}": partial(zlib.compress, level=level) for level in (1, 6, 9)},
}


@pytest.mark.parametrize("packer", PACKERS)
def test_what_is_compressed_is_looked_into(packer: str) -> None:
    pack = PACKERS[packer]
    assert scanned(pack(b"a text")) is None
    assert scanned(pack(IMPORTING)) == "compressed: it is a pickle that imports os.system"
    assert "compressed: its part" in str(scanned(pack(archived(w=PICKLED))))
    assert scanned(pack(pack(PICKLED))) == (
        "compressed: compressed: its opcodes are those of a pickle"
    )
    assert scanned(pack(b"a text" * 1000)[:20]) is None, "cut off"
    assert scanned(pack(b"")) is None


def test_only_the_first_megabyte_of_what_is_compressed_is_unpacked() -> None:
    for pack in PACKERS.values():
        content = pack(b"\xff" * (2 << 20))
        assert len(pickle_scan._unpacked(io.BytesIO(content), content[:4096])) == 1 << 20
    for mark in (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x5d\x00\x00", b"\x78\x9c"):
        assert scanned(mark + b"no such thing") is None
    assert pickle_scan._unpacked(io.BytesIO(b"a text"), b"a text") == b""
    small = zlib.compressobj(wbits=9)
    content = small.compress(IMPORTING) + small.flush()
    assert content[:1] != b"\x78"
    assert "imports os.system" in str(scanned(content))
    almost = b"\x78\x9d" + zlib.compress(PICKLED)[2:]
    assert pickle_scan._unpacked(io.BytesIO(almost), almost) == b""
