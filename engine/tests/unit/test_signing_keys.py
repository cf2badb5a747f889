"""The keys that sign, and those that are trusted: what is made, kept and refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import SecretStr

from goldpath.settings import RegistrySettings, Settings
from goldpath.trust.signing_keys import (
    SignatureError,
    key_id,
    keygen,
    private_file,
    signing_key,
    trusted_keys,
)


def with_registry(project: Settings, **values: object) -> Settings:
    section = RegistrySettings.model_validate({**project.registry.model_dump(), **values})
    return project.model_copy(update={"registry": section})


def test_a_first_key_is_made_for_its_owner_alone_and_trusted(project: Settings) -> None:
    pair = keygen(project)
    private, public = project.root / ".secrets/signing.pem", pair.public_file
    assert pair.private_file == private == private_file(project)
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.parent.stat().st_mode & 0o777 == 0o700
    assert public == project.root / "config" / "keys" / f"{pair.key_id}.pem"
    assert len(pair.key_id) == 16
    assert {*trusted_keys(project)} == {pair.key_id}
    name, key = signing_key(project)
    assert (name, key_id(key.public_key())) == (pair.key_id, pair.key_id)


def test_a_key_is_replaced_on_request_alone_and_the_older_one_is_kept(project: Settings) -> None:
    first = keygen(project)
    assert first.private_file is not None
    content = first.private_file.read_bytes()
    with pytest.raises(SignatureError, match="there is a key already"):
        keygen(project)
    assert first.private_file.read_bytes() == content
    second = keygen(project, rotate=True)
    folder = first.private_file.parent
    assert {each.name for each in folder.iterdir()} == {
        "signing.pem",
        f"signing-before-{second.key_id}.pem",
    }
    assert (folder / f"signing-before-{second.key_id}.pem").read_bytes() == content
    assert {*trusted_keys(project)} == {first.key_id, second.key_id}
    assert signing_key(project)[0] == second.key_id
    with_text = with_registry(project, signing_key=SecretStr("x"))
    for rotate in (False, True):
        with pytest.raises(SignatureError, match="would not be used"):
            keygen(with_text, rotate=rotate)


def test_a_key_is_made_by_itself_in_development_alone(project: Settings) -> None:
    for environment in ("staging", "production", "a"):
        elsewhere = project.model_copy(update={"environment": environment})
        with pytest.raises(SignatureError, match="no key to sign models with"):
            signing_key(elsewhere)
    name, _ = signing_key(project)
    assert signing_key(project.model_copy(update={"environment": "production"}))[0] == name


@pytest.mark.parametrize("bit", range(6))
def test_a_private_key_that_others_may_use_is_refused(project: Settings, bit: int) -> None:
    file = keygen(project).private_file
    assert file is not None
    file.chmod(0o600 | 1 << bit)
    with pytest.raises(SignatureError, match="others on this machine may read"):
        signing_key(project)
    file.chmod(0o700)
    assert signing_key(project)


def private_text(key: object, encryption: object = None) -> bytes:
    text: bytes = key.private_bytes(  # type: ignore[attr-defined]
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    )
    return text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"nonsense", "holds no private key in PEM form"),
        (
            private_text(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x")),
            "holds no private key in PEM form",
        ),
        (private_text(ec.generate_private_key(ec.SECP256R1())), "is not an Ed25519 key"),
    ],
)
def test_a_key_of_another_kind_does_not_sign(project: Settings, text: bytes, said: str) -> None:
    file = keygen(project).private_file
    assert file is not None
    file.write_bytes(text)
    with pytest.raises(SignatureError, match=rf"signing\.pem.* {said}"):
        signing_key(project)
    with pytest.raises(SignatureError, match=rf"MLOPS_REGISTRY__SIGNING_KEY {said}"):
        signing_key(with_registry(project, signing_key=SecretStr(text.decode())))


def test_a_trusted_key_of_another_kind_is_named(project: Settings) -> None:
    pair = keygen(project)
    folder = pair.public_file.parent
    (folder / "README.md").write_text("no key")
    assert {*trusted_keys(project)} == {pair.key_id}
    (folder / "a.pem").write_bytes(b"nonsense")
    with pytest.raises(SignatureError, match=r"a\.pem is not a public key in PEM form"):
        trusted_keys(project)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    (folder / "a.pem").write_bytes(
        other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(SignatureError, match=r"a\.pem is not an Ed25519 key"):
        trusted_keys(project)
    (folder / "a.pem").unlink()
    (folder / "a.pem").mkdir()
    with pytest.raises(SignatureError, match=r"a\.pem is not a public key in PEM form"):
        trusted_keys(project)
