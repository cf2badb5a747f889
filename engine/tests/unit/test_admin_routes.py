"""Keys and users over HTTP: each route does what the command of its name does."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.serving.access.routes import Account, Key, KeyBody, NewKey, admin_routers
from goldpath.serving.access.store import AccessStore, open_or_make
from goldpath.serving.http.problem_error import ProblemError
from goldpath.settings import Settings

from ..quick_hashes import with_quick_hashes

ADMIN: Any = SimpleNamespace(state=SimpleNamespace(client=SimpleNamespace(name="boss")))


@pytest.fixture
def store(project: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccessStore]:
    hashes = with_quick_hashes(monkeypatch)
    next(hashes)
    opened = open_or_make(project)
    yield opened
    opened.close()
    next(hashes, None)


def routes(settings: Settings) -> dict[str, Callable[..., Any]]:
    found: list[Any] = [route for router in admin_routers(settings) for route in router.routes]
    return {f"{method} {each.path}": each.endpoint for each in found for method in each.methods}


def test_there_is_a_route_for_each_change_and_each_list(project: Settings) -> None:
    assert sorted(routes(project)) == [
        "DELETE /admin/keys/{key_id}",
        "GET /admin/keys",
        "GET /admin/users",
        "POST /admin/keys",
        "POST /admin/users/{name}/disable",
    ]


def test_an_admin_makes_lists_and_revokes_keys(project: Settings, store: AccessStore) -> None:
    found = routes(project)
    made: NewKey = found["POST /admin/keys"](KeyBody(name="shop"), ADMIN)
    assert made.key
    assert found["GET /admin/keys"]() == {"keys": [Key(**made.model_dump(exclude={"key"}))]}
    revoked: Key = found["DELETE /admin/keys/{key_id}"](made.id, ADMIN)
    assert (revoked.id, revoked.valid) == (made.id, False)
    assert [action.actor for action in store.actions()] == ["boss", "boss"]


def test_an_admin_shuts_a_user_out(project: Settings, store: AccessStore) -> None:
    store.add_user("ana", "four words make one", ["predict"], "me")
    found = routes(project)
    disable = found["POST /admin/users/{name}/disable"]

    account: Account = disable("ana", ADMIN)

    assert (account.name, account.disabled) == ("ana", True)
    assert found["GET /admin/users"]() == {"users": [account]}
    last = store.actions()[-1]
    assert (last.actor, last.action, last.subject) == ("boss", "user disabled", "ana")
    with pytest.raises(ProblemError) as caught:
        disable("eve", ADMIN)
    assert caught.value.status_code == 404
