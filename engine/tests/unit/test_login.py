"""A user's name and password against a token: the form, and what is said when nobody can check."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from goldpath.errors import ProjectError
from goldpath.serving.access.login import FORM, TokenAnswer, login
from goldpath.serving.access.passwords import BusyError
from goldpath.serving.access.records import StoreError
from goldpath.serving.access.tokens import TokenError
from goldpath.serving.http.problem_error import ProblemError

GOOD = "username=ana&password=secret"


class Service:
    """A login whose parts answer what the test says: a value, or an error."""

    def __init__(self) -> None:
        self.user: Any = SimpleNamespace(
            name="ana", roles=("predict", "label"), password_hash="hash", is_disabled=False
        )
        self.token: Any = ("a.b.c", 60.0)
        self.checked: Any = None

    def find_user(self, _name: str) -> Any:
        return answered(self.user)

    def tokens(self) -> Any:
        return SimpleNamespace(issue=lambda *_: answered(self.token))

    async def is_right(self, password: str, password_hash: str | None) -> bool:
        answered(self.checked)
        return (password, password_hash) == ("secret", "hash")

    def ask(self, form: str) -> TokenAnswer:
        parts: Any = self
        limits: Any = SimpleNamespace(refuse_guessing=lambda *_: None)
        endpoint: Any = login(parts, limits, parts).routes[0]
        serving = SimpleNamespace(read_seconds=10, maximum_body_bytes=10_000)
        state = SimpleNamespace(settings=SimpleNamespace(serving=serving))

        async def receive() -> Any:
            return {"type": "http.request", "body": form.encode()}

        scope = {
            "type": "http",
            "headers": [(b"content-type", FORM.encode())],
            "client": ("10.0.0.1", 5),
            "app": SimpleNamespace(state=state),
        }
        found: TokenAnswer = asyncio.run(endpoint.endpoint(Request(scope, receive)))
        return found

    def problem(self, form: str = GOOD) -> ProblemError:
        with pytest.raises(ProblemError) as caught:
            self.ask(form)
        return caught.value


def answered(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture
def service() -> Service:
    return Service()


def test_a_right_password_gets_a_token_with_the_roles_that_are_asked_for(service: Service) -> None:
    assert service.ask(GOOD) == TokenAnswer(
        access_token="a.b.c", expires_in=60, scope="predict label"
    )
    assert service.ask(f"grant_type=password&{GOOD}&scope=label").scope == "label"


def test_each_field_is_sent_once(service: Service) -> None:
    for more in ("password=secret", "username=eve", "password=other"):
        problem = service.problem(f"{GOOD}&{more}")
        assert (problem.status_code, problem.detail) == (422, "a field appears twice")


def test_a_form_has_ten_fields_at_most(service: Service) -> None:
    more = [f"&more{number}=x" for number in range(9)]
    assert service.ask(GOOD + "".join(more[:8])).access_token == "a.b.c"
    problem = service.problem(GOOD + "".join(more))
    assert (problem.status_code, problem.detail) == (400, "the body is not a form")


@pytest.mark.parametrize(
    ("part", "error", "detail"),
    [
        ("user", StoreError("the file is gone"), "the password cannot be checked now"),
        ("checked", ProjectError("no argon2", "install it"), "the password cannot be checked now"),
        ("token", TokenError("no key to sign with"), "no key to sign with"),
    ],
)
def test_what_cannot_be_checked_now_is_no_wrong_password(
    service: Service, part: str, error: Exception, detail: str
) -> None:
    setattr(service, part, error)
    problem = service.problem()
    assert (problem.status_code, problem.detail) == (503, detail)
    assert dict(problem.headers or {}) == {"Retry-After": "5"}


def test_too_many_passwords_at_a_time_are_told_to_wait(service: Service) -> None:
    service.checked = BusyError("many log in", "try again")
    problem = service.problem()
    assert problem.status_code == 429
    assert dict(problem.headers or {}) == {"Retry-After": "1"}


def test_unknown_and_disabled_users_and_wrong_passwords_are_told_the_same(service: Service) -> None:
    problems = [service.problem("username=ana&password=wrong")]
    service.user.is_disabled = True
    problems.append(service.problem())
    service.user = None
    problems.append(service.problem())
    assert {(problem.status_code, problem.detail) for problem in problems} == {
        (401, problems[0].detail)
    }
