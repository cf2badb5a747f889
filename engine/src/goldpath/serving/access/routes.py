"""Keys and users over HTTP, for clients with the role admin: what `api-key` and `user` do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from goldpath.errors import ProjectError
from goldpath.serving.access.roles import ROLES, Client, Role
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import (
    DOCUMENTED_CREDENTIALS,
    KeyedRoute,
    PredictionRoute,
    for_role,
)
from goldpath.settings import Settings

if TYPE_CHECKING:
    from goldpath.serving.access.store import AccessStore

PREFIX = "/admin"


class KeyBody(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=63)
    roles: list[Role] = Field(default=["predict"], min_length=1, max_length=len(ROLES))
    days: float | None = Field(default=None, gt=0, le=36_500, allow_inf_nan=False)


class Key(BaseModel):
    """A key, without its text."""

    id: str
    name: str
    roles: list[str]
    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None
    valid: bool


class NewKey(Key):
    """A key with its text, which is shown this once."""

    key: str


class Account(BaseModel):
    """A user."""

    name: str
    roles: list[str]
    disabled: bool
    created: str


def admin_routers(settings: Settings) -> tuple[APIRouter, APIRouter]:
    """The routes that read or take no body, and those that take one."""
    common: dict[str, Any] = {
        "prefix": PREFIX,
        "tags": ["access"],
        "dependencies": DOCUMENTED_CREDENTIALS,
    }
    plain = APIRouter(
        route_class=for_role(KeyedRoute, "admin"),
        responses=problem_answers(400, 401, 403, 404, 422, 429, 503),
        **common,
    )
    writing = APIRouter(
        route_class=for_role(PredictionRoute, "admin"),
        responses=problem_answers(400, 401, 403, 408, 413, 415, 422, 429, 503),
        **common,
    )

    @plain.get("/keys")
    def list_keys() -> dict[str, list[Key]]:
        """All keys, without their texts."""
        with _store(settings) as store:
            return {"keys": [Key(**key.shown()) for key in store.all_keys()]}

    @writing.post("/keys", status_code=201)
    def create_key(body: KeyBody, request: Request) -> NewKey:
        """Make a key; its text is in this answer and nowhere else."""
        with _store(settings) as store:
            made, text = store.create_key(body.name, body.roles, body.days, _actor(request))
            return NewKey(**made.shown(), key=text)

    @plain.delete("/keys/{key_id}")
    def revoke_key(key_id: str, request: Request) -> Key:
        """Revoke a key, named by its id."""
        with _store(settings) as store:
            return Key(**store.revoke_key(key_id, _actor(request)).shown())

    @plain.get("/users")
    def list_users() -> dict[str, list[Account]]:
        """All users."""
        with _store(settings) as store:
            return {"users": [Account(**user.shown()) for user in store.all_users()]}

    @plain.post("/users/{name}/disable")
    def disable_user(name: str, request: Request) -> Account:
        """Shut a user out; the user's tokens are void."""
        with _store(settings) as store:
            return Account(**store.disable_user(name, _actor(request)).shown())

    return plain, writing


@contextmanager
def _store(settings: Settings) -> Iterator["AccessStore"]:
    """The store for one request; its errors are problems."""
    from goldpath.serving.access.records import AccessError, UnknownError
    from goldpath.serving.access.store import open_or_make

    try:
        store = open_or_make(settings)
        try:
            yield store
        finally:
            store.close()
    except UnknownError as error:
        raise ProblemError(404, error.message, error.fix) from error
    except AccessError as error:
        raise ProblemError(422, error.message, error.fix) from error
    except ProjectError as error:
        raise ProblemError(503, error.message, error.fix, {"Retry-After": "5"}) from error


def _actor(request: Request) -> str:
    client: Client = request.state.client
    return client.name
