"""A model loads only if it is, byte for byte, what a trusted key signed for its name."""

import bz2
import dataclasses
import gzip
import io
import json
import lzma
import os
import pickle
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from goldpath.settings import RegistrySettings, Settings
from goldpath.trust.manifest import file_digest
from goldpath.trust.pickle_scan import DEEPEST_ARCHIVE, find_pickle
from goldpath.trust.signing import (
    REPORT,
    SIGNATURE_FILE,
    Signature,
    SignatureError,
    keygen,
    parse_signature,
    read_signature,
    sign_contents,
    sign_folder,
    verify_contents,
    verify_document,
    verify_folder,
)

MLMODEL = """flavors:
  python_function: {loader_module: mlflow.sklearn, model_path: model.skops}
  sklearn: {pickled_model: model.skops, serialization_format: skops}
"""
SUBJECT = "customer_churn"


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.getenv, ("HOME",)


def skops_file() -> bytes:
    numbers = io.BytesIO()
    np.save(numbers, np.arange(5))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", '{"__class__": "Pipeline"}')
        archive.writestr("1.npy", numbers.getvalue())
    return buffer.getvalue()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "parts").mkdir(parents=True)
    (folder / "MLmodel").write_text(MLMODEL)
    (folder / "model.skops").write_bytes(skops_file())
    (folder / "conda.yaml").write_text("channels:\n- conda-forge\ndependencies:\n- python=3.11\n")
    (folder / "requirements.txt").write_text("numpy==2.4.6\nscikit-learn==1.9.1\n")
    (folder / "contract.yaml").write_text("dataset: customer_churn\n")
    (folder / "parts" / "bytes.bin").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture
def signature(model: Path, project: Settings) -> Signature:
    return sign_folder(model, SUBJECT, project)


def with_registry(project: Settings, **values: object) -> Settings:
    section = RegistrySettings.model_validate({**project.registry.model_dump(), **values})
    return project.model_copy(update={"registry": section})


def test_signed_folder_is_accepted_again_after_a_round_trip_as_json(
    model: Path, signature: Signature, project: Settings
) -> None:
    (model / SIGNATURE_FILE).write_text(signature.to_json())
    assert read_signature(model) == signature
    verify_folder(model, read_signature(model), SUBJECT, project)


def test_first_use_makes_a_key_that_only_its_owner_reads(
    signature: Signature, project: Settings
) -> None:
    private = project.root / ".secrets" / "signing.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    public = project.root / "config" / "keys" / f"{signature.key_id}.pem"
    assert b"PUBLIC KEY" in public.read_bytes()
    assert b"PRIVATE" not in public.read_bytes()


def test_production_makes_no_key_by_itself(model: Path, project: Settings) -> None:
    production = project.model_copy(update={"environment": "production"})
    with pytest.raises(SignatureError, match="no key to sign models with"):
        sign_folder(model, SUBJECT, production)
    assert not (project.root / ".secrets").exists()


def test_key_from_the_environment_signs_once_its_public_half_is_trusted(
    model: Path, project: Settings
) -> None:
    pair = keygen(project)
    assert pair.private_file is not None
    text = pair.private_file.read_text()
    pair.private_file.unlink()
    settings = with_registry(project, signing_key=SecretStr(text.replace("\n", "\\n")))
    production = settings.model_copy(update={"environment": "production"})
    assert sign_folder(model, SUBJECT, production).key_id == pair.key_id
    pair.public_file.unlink()
    with pytest.raises(SignatureError, match="which is not trusted"):
        sign_folder(model, SUBJECT, production)


def test_readable_private_key_is_refused(
    model: Path, signature: Signature, project: Settings
) -> None:
    (project.root / ".secrets" / "signing.pem").chmod(0o644)
    with pytest.raises(SignatureError, match="others on this machine may read"):
        sign_folder(model, SUBJECT, project)


def test_rotated_key_signs_and_the_older_signature_stays_good(
    model: Path, signature: Signature, project: Settings
) -> None:
    with pytest.raises(SignatureError, match="there is a key already"):
        keygen(project)
    pair = keygen(project, rotate=True)
    renewed = sign_folder(model, SUBJECT, project)
    assert renewed.key_id == pair.key_id != signature.key_id
    verify_folder(model, signature, SUBJECT, project)
    verify_folder(model, renewed, SUBJECT, project)
    # The older key is revoked by taking its public half away.
    (project.root / "config" / "keys" / f"{signature.key_id}.pem").unlink()
    with pytest.raises(SignatureError, match=f"key {signature.key_id}, which is not trusted"):
        verify_folder(model, signature, SUBJECT, project)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_changed_byte_in_any_file_is_refused(
    data: st.DataObject, model: Path, signature: Signature, project: Settings
) -> None:
    name = data.draw(st.sampled_from(sorted(signature.files)))
    file = model / name
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(changed)
    try:
        with pytest.raises(SignatureError, match=name):
            verify_folder(model, signature, SUBJECT, project)
    finally:
        file.write_bytes(whole)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_changed_letter_of_the_signature_is_refused(
    data: st.DataObject, model: Path, signature: Signature, project: Settings
) -> None:
    text = signature.to_json()
    place = data.draw(st.integers(0, len(text) - 1).filter(lambda i: not text[i].isspace()))
    letter = data.draw(st.characters(codec="ascii", exclude_characters=text[place] + " \t\r\n"))
    with pytest.raises(SignatureError):
        verify_folder(
            model, parse_signature(text[:place] + letter + text[place + 1 :]), SUBJECT, project
        )


def test_unsigned_model_is_refused(model: Path) -> None:
    with pytest.raises(SignatureError, match="unsigned"):
        read_signature(model)


def test_added_and_missing_files_are_named(
    model: Path, signature: Signature, project: Settings
) -> None:
    (model / "extra.txt").write_text("x")
    with pytest.raises(SignatureError, match=r"extra\.txt was added"):
        verify_folder(model, signature, SUBJECT, project)
    (model / "extra.txt").unlink()
    (model / "contract.yaml").unlink()
    with pytest.raises(SignatureError, match=r"contract\.yaml was signed and is missing"):
        verify_folder(model, signature, SUBJECT, project)


def test_note_that_mlflow_writes_on_download_is_no_added_file_but_nothing_else_hides_there(
    model: Path, signature: Signature, project: Settings
) -> None:
    note = model / "registered_model_meta"
    note.write_text("model_name: customer_churn\nmodel_version: '3'\n")
    verify_folder(model, signature, SUBJECT, project)
    note.write_text("model_name: customer_churn\nmodel_version: '3'\nmore: 1\n")
    with pytest.raises(SignatureError, match="registered_model_meta was added"):
        verify_folder(model, signature, SUBJECT, project)


def test_symbolic_links_to_files_and_folders_are_refused(
    model: Path, signature: Signature, project: Settings, tmp_path: Path
) -> None:
    shutil.move(model / "contract.yaml", tmp_path / "elsewhere.yaml")
    (model / "contract.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(SignatureError, match=r"contract\.yaml is a symbolic link"):
        verify_folder(model, signature, SUBJECT, project)
    (model / "contract.yaml").unlink()
    shutil.move(tmp_path / "elsewhere.yaml", model / "contract.yaml")
    shutil.move(model / "parts", tmp_path / "parts")
    (model / "parts").symlink_to(tmp_path / "parts")
    with pytest.raises(SignatureError, match="parts is a symbolic link"):
        verify_folder(model, signature, SUBJECT, project)


def test_signature_of_another_model_is_refused(
    model: Path, signature: Signature, project: Settings
) -> None:
    with pytest.raises(SignatureError, match="signed as 'customer_churn', and 'credit'"):
        verify_folder(model, signature, "credit", project)
    renamed = dataclasses.replace(signature, subject="credit")
    with pytest.raises(SignatureError, match="does not belong to key"):
        verify_folder(model, renamed, "credit", project)


def test_signature_of_another_version_is_refused(model: Path, project: Settings) -> None:
    first = sign_folder(model, SUBJECT, project, "1")
    verify_folder(model, first, SUBJECT, project, "1")
    with pytest.raises(SignatureError, match=r"signed as version 1 .* and version 2 was asked for"):
        verify_folder(model, first, SUBJECT, project, "2")
    renumbered = dataclasses.replace(first, version="2")
    with pytest.raises(SignatureError, match="does not belong to key"):
        verify_folder(model, renumbered, SUBJECT, project, "2")


def test_signature_without_a_version_is_no_versions(model: Path, project: Settings) -> None:
    with pytest.raises(SignatureError, match=r"signed as version \(none\)"):
        verify_folder(model, sign_folder(model, SUBJECT, project), SUBJECT, project, "2")


def test_document_is_what_was_signed_with_the_version(
    model: Path, project: Settings, tmp_path: Path
) -> None:
    card = tmp_path / "card.md"
    card.write_text("# A model\n")
    signed = sign_folder(model, SUBJECT, project, "1", {"card.md": file_digest(card)})
    assert parse_signature(signed.to_json()) == signed
    verify_document("card.md", card, signed, SUBJECT, project, "1")
    with pytest.raises(SignatureError, match=r"other\.md was added after version 1 was signed"):
        verify_document("other.md", card, signed, SUBJECT, project, "1")
    card.write_text("# Another model\n")
    with pytest.raises(SignatureError, match=r"card\.md was altered"):
        verify_document("card.md", card, signed, SUBJECT, project, "1")
    forged = dataclasses.replace(signed, documents={"card.md": file_digest(card)})
    with pytest.raises(SignatureError, match="does not belong to key"):
        verify_document("card.md", card, forged, SUBJECT, project, "1")


def test_signature_for_one_purpose_serves_no_other(project: Settings) -> None:
    contents = {"validation.json": b"{}"}
    signed = sign_contents(contents, SUBJECT, project, "1", REPORT)
    verify_contents(contents, signed, SUBJECT, project, "1", REPORT)
    with pytest.raises(SignatureError, match="does not belong to key"):
        verify_contents(contents, signed, SUBJECT, project, "1")


def test_strangers_key_is_refused(model: Path, project: Settings, tmp_path: Path) -> None:
    stranger = project.model_copy(update={"root": tmp_path / "stranger"})
    theirs = sign_folder(model, SUBJECT, stranger)
    keygen(project)
    with pytest.raises(SignatureError, match="which is not trusted"):
        verify_folder(model, theirs, SUBJECT, project)


@pytest.mark.parametrize(
    "change",
    [
        {"files": {}},
        {"files": {"../outside": "0" * 64}},
        {"files": {"/etc/passwd": "0" * 64}},
        {"files": {"a/./b": "0" * 64}},
        {"files": {"a\\b": "0" * 64}},
        {"files": {"a\nb": "0" * 64}},
        {"files": {"a": "0" * 63}},
        {"files": {"a": "A" * 64}},
        {"files": {"a": None}},
        {"digest": 5},
        {"key_id": "../../etc"},
        {"signature": "short"},
        {"subject": ""},
        {"unknown": 1},
    ],
)
def test_signature_with_anything_unusual_is_refused(
    change: dict[str, object], signature: Signature
) -> None:
    values = {**json.loads(signature.to_json()), **change}
    with pytest.raises(SignatureError, match=r"signature\.json|relative path"):
        parse_signature(json.dumps(values))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"subject": "a", "subject": "b"}', "[" * 100_000]
)
def test_text_that_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(SignatureError, match=r"signature\.json"):
        parse_signature(text)


def archive_with(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", "{}")
        archive.writestr(name, content)
    return buffer.getvalue()


def objects_file() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


PICKLES = {
    "model.pkl": b"nothing of interest",
    "deep/model.joblib.gz": b"nothing of interest",
    **{
        f"protocol{protocol}.bin": pickle.dumps(Harmful(), protocol=protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "plain.bin": pickle.dumps({"weights": [1.0, 2.0]}, protocol=0),
    "broken.bin": b"cos\nsystem\n(S'true'\ntR",
    "second.bin": pickle.dumps(1, protocol=0) + pickle.dumps(Harmful(), protocol=0),
    "member.zip": archive_with("weights.bin", pickle.dumps(Harmful())),
    "named.zip": archive_with("weights.pkl", b"x"),
    "nested.zip": archive_with("inner.zip", archive_with("w.bin", pickle.dumps(Harmful()))),
    "objects.npy": objects_file(),
    "objects.npz": archive_with("a.npy", objects_file()),
    "packed.bin": gzip.compress(pickle.dumps(Harmful())),
    "packed_z.bin": zlib.compress(pickle.dumps(Harmful())),
    "packed_bz.bin": bz2.compress(pickle.dumps(Harmful())),
    "packed_xz.bin": lzma.compress(pickle.dumps(Harmful())),
    "packed_lzma.bin": lzma.compress(pickle.dumps(Harmful()), lzma.FORMAT_ALONE),
    "MLmodel": MLMODEL.replace(
        "serialization_format: skops", "serialization_format: cloudpickle"
    ).encode(),
    "old/MLmodel": MLMODEL.replace(", serialization_format: skops", "").encode(),
    "any/MLmodel": b"flavors: {python_function: {python_model: python_model.bin}}",
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickle_is_neither_signed_nor_loaded_whoever_signed_it(
    name: str, model: Path, project: Settings
) -> None:
    file = model / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(PICKLES[name])
    with pytest.raises(SignatureError, match="carries a pickle"):
        sign_folder(model, SUBJECT, project)
    contents = {
        path.relative_to(model).as_posix(): path.read_bytes()
        for path in model.rglob("*")
        if path.is_file()
    }
    signature = sign_contents(contents, SUBJECT, project)
    with pytest.raises(SignatureError, match="carries a pickle"):
        verify_folder(model, signature, SUBJECT, project)


@hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    value=st.recursive(
        st.none() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_every_pickle_is_recognised(value: object, protocol: int, tmp_path: Path) -> None:
    file = tmp_path / "content"
    file.write_bytes(pickle.dumps(value, protocol=protocol))
    assert find_pickle(file, "content") is not None


def test_texts_that_models_carry_are_no_pickles(tmp_path: Path) -> None:
    texts = {
        "requirements.txt": "numpy==2.4.6\n",
        "README.md": "# Model card\n\nIt is a model.\n",
        "dot.txt": ".",
        "empty": "",
        "import.py": "import os\nx = 1\n",
        "example.json": '{"columns": ["a"], "data": [[1]]}',
        "python_env.yaml": "python: 3.11.7\nbuild_dependencies:\n- pip\n",
        "rows.csv": "id,name\n1,ä\n2,b\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert find_pickle(tmp_path / name, name) is None


def test_what_is_packed_too_deep_to_be_looked_into_is_refused(tmp_path: Path) -> None:
    content = b"a text"
    for depth in range(8):
        (tmp_path / "weights.bin").write_bytes(content)
        reason = find_pickle(tmp_path / "weights.bin", "weights.bin")
        assert (reason is not None) == (depth > DEEPEST_ARCHIVE), (depth, reason)
        content = gzip.compress(content)


def test_bytes_that_mean_nothing_are_no_pickle(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for _ in range(500):
        (tmp_path / "weights.bin").write_bytes(random.bytes(300))
        reason = find_pickle(tmp_path / "weights.bin", "weights.bin")
        assert reason is None or "protocol mark" in reason


def test_files_in_memory_are_signed_as_a_folder_is(
    model: Path, signature: Signature, project: Settings
) -> None:
    contents = {name: (model / name).read_bytes() for name in signature.files}
    assert sign_contents(contents, SUBJECT, project) == signature
    verify_contents(contents, signature, SUBJECT, project)
    with pytest.raises(SignatureError, match="MLmodel was altered"):
        verify_contents({**contents, "MLmodel": b"x"}, signature, SUBJECT, project)


def test_verifying_twenty_megabytes_takes_less_than_a_second_of_cpu(
    model: Path, project: Settings
) -> None:
    (model / "weights.bin").write_bytes(os.urandom(20_000_000))
    signature = sign_folder(model, SUBJECT, project)
    start = time.process_time()
    verify_folder(model, signature, SUBJECT, project)
    assert time.process_time() - start < 1


def test_module_is_imported_without_cryptography_and_mlflow() -> None:
    program = (
        "import sys, goldpath.trust.signing; "
        "sys.exit(bool({'cryptography', 'mlflow', 'sklearn', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
