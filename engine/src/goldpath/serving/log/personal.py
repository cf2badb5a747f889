"""What the prediction log keeps of the contract's personal columns: nothing, a hash, or the value.

A hash stands for a category only: a hashed number is none, so numbers are left out. The same text
has the same hash, so that groups can still be counted; whoever has the key can test a guess.
"""

import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.row.learned import definitions_of
from goldpath.features.window.learned import names_in, personal_windows
from goldpath.settings import Settings
from goldpath.source_contract import load_sources

log = logging.getLogger(__name__)

KEY_FILE = ".secrets/personal.key"
PREFIX = "hashed:"


class PersonalKeyError(ProjectError):
    """There is no key to hash personal values with."""


class PersonalValues:
    """Takes personal values out of what is logged.

    Args:
        settings: `access.personal_values`, and the key of the hashes.
        contract: Which columns are personal.

    Attributes:
        columns: The features that are not logged as they are.
        hashed: Those of them that are logged as a hash.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self.columns = hidden_columns(settings, contract)
        is_hashed = settings.access.personal_values == "hash"
        self.hashed = set(contract.category_features if is_hashed else ()) & set(self.columns)
        self._key = _key(settings) if self.hashed else b""
        self._fields: dict[type, list[tuple[str, str]]] = {}

    def loggable(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """The features as they may be logged."""
        if not self.columns:
            return dict(features)
        kept = {name: value for name, value in features.items() if name not in self.columns}
        for name in self.hashed & features.keys():
            kept[name] = self._hash(features[name])
        return kept

    def hide(self, row: msgspec.Struct) -> None:
        """Do the same to a row of the fast lane, in place; its scores must not need it any more."""
        kind = type(row)
        fields = self._fields.get(kind)
        if fields is None:
            names = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
            fields = [(field, name) for field, name in names if name in self.columns]
            self._fields[kind] = fields
        for field, name in fields:
            # What is unset is not written.
            value = self._hash(getattr(row, field)) if name in self.hashed else msgspec.UNSET
            setattr(row, field, value)

    def _hash(self, value: object) -> str | None:
        if not isinstance(value, str):
            return None
        digest = hmac.new(self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return PREFIX + digest.hexdigest()[:24]


def hidden_columns(settings: Settings, contract: Contract) -> tuple[str, ...]:
    """The features whose values are not in the prediction log."""
    if settings.access.personal_values == "keep":
        return ()
    return tuple(name for name in contract.personal if name in contract.by_name)


class HiddenColumns:
    """The features of a version whose values are neither logged nor shown where they are looked up.

    A version's contract says what was personal when it was trained; what a source's file names
    `personal` since then counts, too.

    Args:
        settings: `access.personal_values`, and where `config/sources` is.
        project: The project's present contract, whose own rows a forecast's windows read.
    """

    def __init__(self, settings: Settings, project: Contract) -> None:
        self._settings, self._project = settings, project
        self._held: dict[int, tuple[Contract, frozenset[str]]] = {}

    @cached_property
    def _by_source(self) -> dict[str, tuple[str, ...]] | None:
        """The personal columns of each source; None where nobody can tell."""
        try:
            sources = load_sources(self._settings.root)
            return {each.dataset: each.personal for each in (self._project, *sources)}
        except ProjectError as error:
            log.warning("window features are not logged: %s; fix: %s", error.message, error.fix)
            return None

    def of(self, contract: Contract) -> frozenset[str]:
        """The names, of a version's contract."""
        known, hidden = self._held.get(id(contract), (None, frozenset()))
        if known is not contract:
            hidden = frozenset(self._hidden(contract))
            self._held = {**self._held, id(contract): (contract, hidden)}
        return hidden

    def _hidden(self, contract: Contract) -> set[str]:
        if self._settings.access.personal_values == "keep":
            return set()
        found = {*hidden_columns(self._settings, contract)}
        if contract.window_features:
            sources = self._by_source
            found |= {
                *(names_in(contract) if sources is None else personal_windows(contract, sources))
            }
        for each in definitions_of(contract):  # each after those that it reads
            if found & {*each.expression.columns}:
                found.add(each.name)
        return found


def _key(settings: Settings) -> bytes:
    """The lake's key of privacy where it is set; else a file, made on first use in development."""
    given = settings.lake.privacy_key.get_secret_value()
    if given:
        return given.encode()
    file = settings.root / KEY_FILE
    if not file.exists():
        if settings.environment != "development":
            raise PersonalKeyError(
                f"access.personal_values is hash, and {KEY_FILE} is absent",
                "set MLOPS_LAKE__PRIVACY_KEY, or choose drop: MLOPS_ACCESS__PERSONAL_VALUES=drop",
            )
        _make_key(file)
    return file.read_bytes()


def _make_key(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(secrets.token_bytes(32))
    try:  # of several workers that make one at the same time, the first wins
        os.link(part, file)
    except FileExistsError:
        pass
    finally:
        part.unlink()
