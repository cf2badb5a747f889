"""The fast lane lets nobody in whom the app would refuse, also when the credential is known."""

import os
from typing import Any

import pytest

from goldpath.serving.lane.request_heads import Head, read_headers

from .conftest import MakeClient
from .test_access import BODY, new_key, new_user, predict, settings_behind, token_of

ASKED = 3  # the first time the app looks a credential up; afterwards the lane knows it
OWNER = "correct-horse-battery"
USUAL = [(b"content-type", b"application/json"), (b"content-length", b"2")]


@pytest.mark.parametrize("role", ["read-metrics", "automl", "admin"])
def test_a_known_key_with_another_role_gets_no_prediction(
    make_client: MakeClient, role: str
) -> None:
    client = make_client(api_key=OWNER)
    _, key = new_key(settings_behind(client), "other", (role,))
    lane: Any = client.app

    assert [predict(client, X_API_Key=key).status_code for _ in range(ASKED)] == [403] * ASKED
    assert lane._access.known(b"x-api-key", key.encode()) is not None
    head = Head("/predict", credential=(b"x-api-key", key.encode()))
    assert lane.decode(head, b"{}") is None
    assert lane._client(head) is None


def test_two_credentials_are_none_although_each_is_good(make_client: MakeClient) -> None:
    client = make_client(api_key=OWNER)
    settings = settings_behind(client)
    _, key = new_key(settings)
    new_user(settings)
    token = token_of(client)
    for headers in ({"X_API_Key": key}, {"Authorization": f"Bearer {token}"}):
        assert [predict(client, **headers).status_code for _ in range(ASKED)] == [200] * ASKED

    answers = [
        predict(client, X_API_Key=key, Authorization=f"Bearer {token}") for _ in range(ASKED)
    ]

    assert [answer.status_code for answer in answers] == [401] * ASKED
    assert "more than one credential" in answers[0].json()["detail"]


@pytest.mark.parametrize("name", ["X-API-Key", "Authorization"])
def test_a_doubled_credential_is_none(make_client: MakeClient, name: str) -> None:
    client = make_client(api_key=OWNER)
    value = OWNER if name == "X-API-Key" else f"Bearer {OWNER}"
    assert [predict(client, **{name: value}).status_code for _ in range(ASKED)] == [200] * ASKED

    for second in (value, "another"):
        for pair in ([value, second], [second, value]):
            headers = [(name, each) for each in pair]
            answer = client.post("/predict", json=BODY, headers=headers)
            assert answer.status_code == 401, pair


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"content-length", b"2"),
        (b"content-type", b"application/json"),
        (b"x-api-key", b"key"),
        (b"authorization", b"Bearer key"),
        (b"x-request-id", b"a"),
        (b"traceparent", b"00-1-2-01"),
        (b"x-model-version", b"1"),
        (b"x-forwarded-for", b"203.0.113.7"),
    ],
)
def test_a_doubled_header_that_counts_is_the_apps(name: bytes, value: bytes) -> None:
    others = [pair for pair in USUAL if pair[0] != name]

    assert read_headers("/predict", [*others, (name, value)], 10) is not None
    assert read_headers("/predict", [*others, (name, value), (name, value)], 10) is None
    assert (
        read_headers("/predict", [*others, (name, value), (b"accept", b"*"), (name, b"")]) is None
    )


def test_two_credentials_of_different_kinds_are_the_apps() -> None:
    both = [(b"x-api-key", b"key"), (b"authorization", b"Bearer key")]
    assert read_headers("/predict", [*USUAL, *both], 10) is None


def test_a_label_is_on_disk_before_it_is_confirmed(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    body = {"prediction_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "label": "yes"}
    synced: list[int] = []
    really = os.fdatasync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        really(descriptor)

    monkeypatch.setattr(os, "fdatasync", noted)
    for count in (1, 2):
        assert client.post("/feedback", json=body).status_code == 202
        assert len(synced) == count
    assert synced[1] > synced[0] > 0, "the label is in the file that was synced"

    def fails(_: int) -> None:
        raise OSError(5, "the disk is gone")

    monkeypatch.setattr(os, "fdatasync", fails)
    refused = client.post("/feedback", json=body)
    assert refused.status_code == 503
    assert refused.headers["retry-after"]


def test_messages_to_the_hook_are_checked_and_counted(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_REGISTRY__WEBHOOK_SECRET", "a-secret-of-both-sides")
    client = make_client()
    signed = {"webhook-id": "m", "webhook-signature": "v1,AAAA"}

    def send(moment: str) -> int:
        headers = {**signed, "webhook-timestamp": moment}
        answer = client.post("/hooks/registry", content=b"{}", headers=headers)
        return int(answer.status_code)

    assert {send(each) for each in ("9" * 400, "9" * 13, "-1", "1e9", "0", "")} == {401}
    accepted = 0
    while send("9" * 400) == 401:  # five more a second are let in, and a machine may be slow
        accepted += 1
        assert accepted < 5_000
    assert accepted >= 290
    assert predict(client).status_code == 200
