"""Users, API keys and what was done to them, in a database: a file in the project, or a server.

A key is kept as its SHA-256 (it is random, so that a slow hash would add nothing), a password as
Argon2. Each change and its line in the audit table are one transaction.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from goldpath.errors import ProjectError
from goldpath.serving.access.location import store_file
from goldpath.serving.access.records import (
    KEY_PREFIX,
    AccessError,
    ApiKey,
    StoreError,
    UnknownError,
    User,
    check_name,
    check_roles,
)
from goldpath.serving.access.tables import (
    API_KEYS,
    AUDIT,
    USERS,
    AccessAction,
    append_action,
    make_tables,
)
from goldpath.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, RowMapping

HOUR = 3600
DAY = 86_400


class AccessStore:
    """The store over an open database; safe to use from several threads."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._noted: dict[str, int] = {}

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def create_key(
        self, name: str, roles: Sequence[str], days: float | None, actor: str
    ) -> tuple[ApiKey, str]:
        """Make a key.

        Returns:
            What is kept of it, and its text, which is nowhere else.
        """
        check_name(name)
        check_roles(roles)
        if days is not None and not 0 < days <= 36_500:
            raise AccessError(f"a key cannot be valid for {days:g} days", "give 0.1 to 36500")
        now = time.time()
        made = ApiKey(
            secrets.token_hex(4),
            name,
            tuple(roles),
            now,
            None if days is None else now + days * DAY,
            None,
            None,
        )
        text = f"{KEY_PREFIX}{made.id}_{secrets.token_urlsafe(32)}"
        details = {"id": made.id, "roles": list(roles), "days": days}
        with self._changing(actor, "key created", name, details) as connection:
            if connection.execute(USERS.select().where(USERS.c.name == name)).first():
                raise AccessError(f"{name} is a user", "give the key another name")
            connection.execute(
                API_KEYS.insert().values(
                    id=made.id,
                    name=name,
                    roles=" ".join(roles),
                    digest=hashlib.sha256(text.encode()).hexdigest(),
                    created_at=now,
                    expires_at=made.expires_at,
                )
            )
        return made, text

    def all_keys(self) -> list[ApiKey]:
        """All keys, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(API_KEYS.select().order_by(API_KEYS.c.created_at))
            return [_key(row) for row in rows.mappings()]

    def key_by_digest(self, digest: str) -> ApiKey | None:
        """The key whose text has this SHA-256."""
        with self._reading() as connection:
            rows = connection.execute(API_KEYS.select().where(API_KEYS.c.digest == digest))
            row = rows.mappings().first()
            return None if row is None else _key(row)

    def revoke_key(self, which: str, actor: str) -> ApiKey:
        """Revoke a key, named by its id, or by its name where only one is valid."""
        found = [key for key in self.all_keys() if which in (key.id, key.name)]
        valid = [key for key in found if key.revoked_at is None]
        if not found:
            raise UnknownError(f"there is no key {which}", "see: api-key list")
        if len(valid) != 1:
            ids = ", ".join(key.id for key in valid)
            state = f"{len(valid)} keys are called {which}: {ids}" if valid else "it is revoked"
            raise AccessError(f"{which}: {state}", "name one by its id" if valid else "")
        key = valid[0]
        with self._changing(actor, "key revoked", key.name, {"id": key.id}) as connection:
            change = API_KEYS.update().where(API_KEYS.c.id == key.id)
            connection.execute(change.values(revoked_at=time.time()))
        return next(each for each in self.all_keys() if each.id == key.id)

    def note_use(self, key: str) -> None:
        """Note that a key is used, once an hour; a store that cannot be written does no harm."""
        hour = int(time.time()) // HOUR
        if self._noted.get(key) == hour:
            return
        self._noted[key] = hour
        with suppress(ProjectError), self._reading() as connection:
            change = API_KEYS.update().where(API_KEYS.c.id == key)
            connection.execute(change.values(last_used=float(hour * HOUR)))
            connection.commit()

    def add_user(self, name: str, password: str, roles: Sequence[str], actor: str) -> User:
        """Add a user, who gets a token with name and password."""
        from goldpath.serving.access.passwords import hash_password

        check_name(name)
        check_roles(roles)
        hashed = hash_password(password)
        now = time.time()
        with self._changing(actor, "user added", name, {"roles": list(roles)}) as connection:
            if connection.execute(USERS.select().where(USERS.c.name == name)).first():
                raise AccessError(f"there is a user {name}", "user password changes the password")
            if connection.execute(API_KEYS.select().where(API_KEYS.c.name == name)).first():
                raise AccessError(f"{name} is the name of a key", "give the user another name")
            connection.execute(
                USERS.insert().values(
                    name=name,
                    roles=" ".join(roles),
                    password_hash=hashed,
                    is_disabled=False,
                    created_at=now,
                    tokens_since=now,
                )
            )
        return User(name, tuple(roles), hashed, False, now, now)

    def all_users(self) -> list[User]:
        """All users, by name."""
        with self._reading() as connection:
            rows = connection.execute(USERS.select().order_by(USERS.c.name))
            return [_user(row) for row in rows.mappings()]

    def user(self, name: str) -> User | None:
        """One user."""
        with self._reading() as connection:
            row = connection.execute(USERS.select().where(USERS.c.name == name)).mappings().first()
            return None if row is None else _user(row)

    def set_password(self, name: str, password: str, actor: str) -> User:
        """Change a password; tokens that the user has are void."""
        from goldpath.serving.access.passwords import hash_password

        values = {"password_hash": hash_password(password), "tokens_since": time.time()}
        return self._change_user(name, values, actor, "password changed")

    def disable_user(self, name: str, actor: str, *, enable: bool = False) -> User:
        """Shut a user out, or let one in again; tokens from before are void."""
        values = {"is_disabled": not enable, "tokens_since": time.time()}
        return self._change_user(name, values, actor, "user enabled" if enable else "user disabled")

    def record(
        self, actor: str, action: str, subject: str, details: Mapping[str, Any] | None = None
    ) -> None:
        """Write down what was done elsewhere."""
        with self._changing(actor, action, subject, details or {}):
            pass

    def actions(self) -> list[AccessAction]:
        """What was done, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(AUDIT.select().order_by(AUDIT.c.sequence))
            return [AccessAction(**row) for row in rows.mappings()]

    def _change_user(self, name: str, values: Mapping[str, Any], actor: str, action: str) -> User:
        with self._changing(actor, action, name, {}) as connection:
            change = USERS.update().where(USERS.c.name == name).values(**values)
            if connection.execute(change).rowcount == 0:
                raise UnknownError(f"there is no user {name}", "see: user list")
        found = self.user(name)
        if found is None:
            raise UnknownError(f"the user {name} has gone", "see: user list")
        return found

    @contextmanager
    def _changing(
        self, actor: str, action: str, subject: str, details: Mapping[str, Any]
    ) -> Iterator["Connection"]:
        """A transaction that ends with its line in the audit table; others wait for it."""
        with self._reading() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif self._engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"LOCK TABLE {AUDIT.name} IN EXCLUSIVE MODE")
            yield connection
            append_action(connection, actor, action, subject, details)
            connection.commit()

    @contextmanager
    def _reading(self) -> Iterator["Connection"]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _unusable(error) from error


def open_or_make(settings: Settings) -> AccessStore:
    """The store, with its tables made where they are missing."""
    from sqlalchemy.exc import SQLAlchemyError

    if not settings.access.store.get_secret_value():
        file = store_file(settings)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    engine = open_engine(settings)
    try:
        make_tables(engine)
    except SQLAlchemyError as error:
        raise _unusable(error) from error
    return AccessStore(engine)


def open_engine(settings: Settings) -> "Engine":
    """The database's connections; none is made yet."""
    from sqlalchemy import URL, create_engine, make_url
    from sqlalchemy.exc import SQLAlchemyError

    text = settings.access.store.get_secret_value()
    try:
        url = make_url(text) if text else URL.create("sqlite", database=str(store_file(settings)))
        waiting = "timeout" if url.get_backend_name() == "sqlite" else "connect_timeout"
        return create_engine(url, pool_pre_ping=True, connect_args={waiting: 5})
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(
            f"MLOPS_ACCESS__STORE cannot be used: {type(error).__name__}",
            "give postgresql+psycopg://user:password@host/database, "
            "and install the extra `servers`",
        ) from error


def _unusable(error: Exception) -> StoreError:
    # The message of a driver may hold values of the statement, or the URL.
    return StoreError(
        f"the store of users and keys cannot be used: {type(error).__name__}",
        "check MLOPS_ACCESS__STORE and that the database answers; `api-key list` makes its tables",
    )


def _key(row: "RowMapping") -> ApiKey:
    names = ("created_at", "expires_at", "revoked_at", "last_used")
    return ApiKey(row["id"], row["name"], tuple(row["roles"].split()), *(row[n] for n in names))


def _user(row: "RowMapping") -> User:
    return User(
        row["name"],
        tuple(row["roles"].split()),
        row["password_hash"],
        bool(row["is_disabled"]),
        row["created_at"],
        row["tokens_since"],
    )
