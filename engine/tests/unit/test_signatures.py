"""A signature's JSON, its list of files, and what of a model is signed: to the letter."""

import base64
import json
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from goldpath.settings import Settings
from goldpath.trust import signature as signature_module
from goldpath.trust.manifest import (
    REGISTRY_NOTE,
    check_path,
    content_digests,
    file_digest,
    manifest_digest,
    model_files,
)
from goldpath.trust.signature import Signature, parse_signature, read_signature
from goldpath.trust.signing import (
    REPORT,
    SIGNATURE_FILE,
    _message,
    sign_again,
    sign_contents,
    sign_folder,
    verify_contents,
    verify_document,
    verify_folder,
)
from goldpath.trust.signing_keys import SignatureError, signing_key

GOOD = {
    "subject": "churn",
    "key_id": "0123456789abcdef",
    "digest": "0" * 64,
    "files": {"a": "f" * 64},
    "signature": "A" * 86 + "==",
    "version": "3",
    "documents": {"card.md": "1" * 64},
}


def parsed(**changed: object) -> Signature:
    return parse_signature(json.dumps({**GOOD, **changed}))


def without(*names: str) -> str:
    return json.dumps({name: value for name, value in GOOD.items() if name not in names})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"subject": "x"},
        {"subject": "x" * 256},
        {"version": ""},
        {"version": "9" * 18},
        {"documents": {}},
        {"signature": "+" * 85 + "w=="},
        {"files": {"a/b c.txt": "0" * 64, "d": "1" * 64}},
        {"files": {f"tree {number}": "0" * 64 for number in range(300)}},
    ],
)
def test_a_usual_signature_is_read_as_it_stands(changed: dict[str, object]) -> None:
    found = parsed(**changed)
    assert {name: getattr(found, name) for name in GOOD} == {**GOOD, **changed}
    assert found.names_version
    assert parse_signature(found.to_json()) == found


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"subject": ""}, "subject"),
        ({"subject": "x" * 257}, "subject"),
        ({"subject": "a\u0001"}, "subject"),
        ({"subject": None}, "subject"),
        ({"version": "9" * 19}, "version"),
        ({"version": 3}, "version"),
        ({"version": "-1"}, "version"),
        ({"key_id": "0" * 15}, "key_id"),
        ({"key_id": "0" * 17}, "key_id"),
        ({"digest": "0" * 65}, "digest"),
        ({"digest": "0" * 63}, "digest"),
        ({"digest": "G" * 64}, "digest"),
        ({"files": {}}, "at least one file"),
        ({"files": ["a"]}, "files is not a list of files"),
        ({"files": {"a": "0" * 65}}, "files"),
        ({"files": {"a": "0" * 64, "..": "0" * 64}}, "plain relative path"),
        ({"documents": []}, "documents is not a list of files"),
        ({"documents": None}, "documents is not a list of files"),
        ({"documents": {"a": "0"}}, "documents"),
        ({"documents": {"a/../b": "0" * 64}}, "plain relative path"),
        ({"signature": "A" * 85 + "B=="}, "signature"),
        ({"signature": "A" * 87 + "="}, "signature"),
        ({"signature": "A" * 85 + "A==\n"}, "signature"),
        ({"more": 1}, "expected exactly"),
    ],
)
def test_anything_else_is_refused_by_the_fields_name(changed: dict[str, object], said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        parsed(**changed)


@pytest.mark.parametrize("text", ["[]", "7", '"text"', "{", '{"a": 1, "a": 1}', "[" * 100_000])
def test_a_text_that_is_no_object_with_each_key_once_is_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        parse_signature(text)
    doubled = json.dumps(GOOD).replace('"version": "3"', '"version": "3", "version": "3"')
    with pytest.raises(SignatureError, match="given twice"):
        parse_signature(doubled)


def test_a_signature_of_the_first_format_names_no_version() -> None:
    first = parse_signature(without("version", "documents"))
    assert not first.names_version
    assert (first.version, first.documents) == ("", None)
    assert "version" not in first.to_json()
    assert parse_signature(first.to_json()) == first
    for missing in ("version", "documents", "digest"):
        with pytest.raises(SignatureError, match="expected exactly"):
            parse_signature(without(missing))


def test_a_signature_has_a_longest_text(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(GOOD)
    monkeypatch.setattr(signature_module, "MOST_SIGNATURE_BYTES", len(text))
    assert parse_signature(text).subject == "churn"
    with pytest.raises(SignatureError, match="has more than"):
        parse_signature(text + " ")


def test_a_model_is_signed_by_a_file_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="unsigned"):
        read_signature(tmp_path)
    (tmp_path / "elsewhere").write_text(json.dumps(GOOD))
    (tmp_path / SIGNATURE_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SignatureError, match="unsigned"):
        read_signature(tmp_path)
    (tmp_path / SIGNATURE_FILE).unlink()
    (tmp_path / SIGNATURE_FILE).write_bytes(b"\xff")
    with pytest.raises(SignatureError, match="not valid JSON"):
        read_signature(tmp_path)
    (tmp_path / SIGNATURE_FILE).write_text(json.dumps(GOOD))
    assert read_signature(tmp_path).version == "3"


@pytest.mark.parametrize("name", ["a", "a/b.c", "a b/ü-_~.bin", "...", "a..b", "-"])
def test_a_plain_path_is_accepted(name: str) -> None:
    check_path(name)


@pytest.mark.parametrize(
    "name",
    ["", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/../b", "./a", "a\tb", "a\u202eb", None, 7]
    + [f"a{letter}b" for letter in '\\:*?"<>|'],
)
def test_a_path_that_leads_elsewhere_or_is_spelled_in_two_ways_is_refused(name: object) -> None:
    with pytest.raises(SignatureError, match="not a plain relative path"):
        check_path(name)
    with pytest.raises(SignatureError, match="not a plain relative path"):
        content_digests({"fine": b"", name: b""})  # type: ignore[dict-item]


def test_the_files_of_a_model_are_all_but_its_signature_and_mlflows_note(tmp_path: Path) -> None:
    for name in ("b", "a/c", f"a/{SIGNATURE_FILE}", "z/y/x", "a/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / SIGNATURE_FILE).write_text("{}")
    note = tmp_path / REGISTRY_NOTE
    note.write_text("model_name: churn\nmodel_version: 3\n")
    expected = {"b", "a/c", f"a/{SIGNATURE_FILE}", "z/y/x", "a/d"}

    found = dict(model_files(tmp_path))
    assert [*found] == sorted(found, key=lambda name: (name.count("/"), name))
    assert found["a/c"] == tmp_path / "a" / "c"
    assert set(found) == expected
    padding = "#" * (4096 - note.stat().st_size)
    note.write_text(note.read_text() + padding)
    assert set(dict(model_files(tmp_path))) == expected
    note.write_text(note.read_text() + "#")
    assert set(dict(model_files(tmp_path))) == {*expected, REGISTRY_NOTE}
    for other in (
        b"model_name: a\n",
        b"model_name: a\nmodel_version: 1\nmore: 1\n",
        b"[",
        b"\xff",
        b"[1]",
    ):
        note.write_bytes(other)
        assert set(dict(model_files(tmp_path))) == {*expected, REGISTRY_NOTE}
    note.unlink()
    (tmp_path / "a" / REGISTRY_NOTE).write_text("model_name: churn\nmodel_version: 3\n")
    assert f"a/{REGISTRY_NOTE}" in dict(model_files(tmp_path))


def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SignatureError, match="not a regular file"):
        dict(model_files(tmp_path))
    (tmp_path / "pipe").unlink()
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    with pytest.raises(SignatureError, match="link is a symbolic link"):
        dict(model_files(tmp_path))
    with pytest.raises(SignatureError, match="cannot be read"):
        dict(model_files(tmp_path / "none"))


def test_digests_have_one_spelling(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(tmp_path / "a") == abc
    assert content_digests({"a": b"abc"}) == {"a": abc}
    found = manifest_digest({"b": "1", "a": "2"})
    assert found == manifest_digest({"a": "2", "b": "1"})
    assert found == content_digests({"x": b'{"a":"2","b":"1"}'})["x"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    return folder


def test_each_part_of_what_is_signed_counts(model: Path, project: Settings) -> None:
    signed = sign_folder(model, "churn", project, "3", {"card.md": "1" * 64})
    verify_folder(model, signed, "churn", project, "3")
    assert [*signed.files] == ["a", "b", "c"]
    for changed, said in (
        (replace(signed, subject="zzz"), "was signed as 'zzz'"),
        (replace(signed, subject="aaa"), "was signed as 'aaa'"),
        (replace(signed, version="4"), "signed as version 4"),
        (replace(signed, version="2"), "signed as version 2"),
        (replace(signed, key_id="0" * 16), "which is not trusted"),
        (replace(signed, digest="0" * 64), "its list of files"),
        (replace(signed, digest="f" * 64), "its list of files"),
        (replace(signed, documents={}), "does not belong to key"),
        (replace(signed, documents={"card.md": "2" * 64}), "does not belong to key"),
        (replace(signed, signature="A" * 86 + "=="), "does not belong to key"),
        (replace(signed, signature="A" * 86), "does not belong to key"),
        (replace(signed, signature="!" + signed.signature), "does not belong to key"),
        (replace(signed, signature="é"), "does not belong to key"),
    ):
        with pytest.raises(SignatureError, match=said):
            verify_folder(model, changed, "churn", project, "3")


def around(content: bytes) -> list[bytes]:
    """Two other contents: one whose digest is lower, and one whose digest is higher."""
    digest = sha256(content).hexdigest()
    others = [str(number).encode() for number in range(1000)]
    return [
        next(each for each in others if sha256(each).hexdigest() < digest),
        next(each for each in others if sha256(each).hexdigest() > digest),
    ]


def test_added_missing_and_altered_files_are_told_apart(model: Path, project: Settings) -> None:
    signed = sign_folder(model, "churn", project)
    contents = {name: name.encode() for name in "abc"}
    verify_contents(contents, signed, "churn", project)
    (model / "e.pkl").write_text("text")
    with pytest.raises(SignatureError, match=r"e\.pkl carries a pickle"):
        verify_folder(model, signed, "churn", project)
    (model / "e.pkl").unlink()
    lower, higher = around(b"b")
    for name, content, said in (
        ("d", b"new", "d was added"),
        ("c", None, "c was signed and is missing"),
        ("b", lower, "b was altered"),
        ("b", higher, "b was altered"),
    ):
        changed = {**contents}
        if content is None:
            del changed[name]
            (model / name).unlink()
        else:
            changed[name] = content
            (model / name).write_bytes(content)
        with pytest.raises(SignatureError, match=said):
            verify_contents(changed, signed, "churn", project)
        with pytest.raises(SignatureError, match=said):
            verify_folder(model, signed, "churn", project)
        (model / "d").unlink(missing_ok=True)
        if name in contents:
            (model / name).write_text(name)


def test_a_first_formats_signature_is_accepted_only_to_be_renewed(
    model: Path, project: Settings
) -> None:
    signed = sign_folder(model, "churn", project, "3")
    assert signed.documents == {}
    first = replace(signed, version="", documents=None)
    _, key = signing_key(project)
    text = base64.b64encode(key.sign(_message(first, "anything"))).decode()
    first = replace(first, signature=text)
    with pytest.raises(SignatureError, match="signature of the first format"):
        verify_folder(model, first, "churn", project, "3")
    verify_folder(model, first, "churn", project, "3", versionless=True)
    verify_folder(model, signed, "churn", project, "3", versionless=True)
    with pytest.raises(SignatureError, match="signed as version 3"):
        verify_folder(model, signed, "churn", project, "4", versionless=True)
    renewed = sign_again(first, "churn", "4", project, {"card.md": "0" * 64})
    verify_folder(model, renewed, "churn", project, "4")
    assert renewed.documents == {"card.md": "0" * 64}
    assert sign_again(renewed, "other", "1", project).documents == renewed.documents
    assert sign_again(renewed, "other", "1", project, {}).documents == {}


def test_documents_are_those_that_were_signed(model: Path, project: Settings) -> None:
    card = model / "a"
    signed = sign_folder(model, "churn", project, "3", {"card.md": file_digest(card)})
    verify_document("card.md", card, signed, "churn", project, "3")
    for content in around(b"a"):
        (model / "b").write_bytes(content)
        with pytest.raises(SignatureError, match="was altered after"):
            verify_document("card.md", model / "b", signed, "churn", project, "3")
    with pytest.raises(SignatureError, match="was added after version 3"):
        verify_document("other.md", card, signed, "churn", project, "3")
    with pytest.raises(SignatureError, match="signed as version 3"):
        verify_document("card.md", card, signed, "churn", project, "4")


def test_nothing_is_no_model_and_a_purpose_is_part_of_what_is_signed(project: Settings) -> None:
    with pytest.raises(SignatureError, match="no file to sign"):
        sign_contents({}, "churn", project)
    report = sign_contents({"r": b"x"}, "churn", project, "3", purpose=REPORT)
    verify_contents({"r": b"x"}, report, "churn", project, "3", REPORT)
    with pytest.raises(SignatureError, match="does not belong to key"):
        verify_contents({"r": b"x"}, report, "churn", project, "3")
