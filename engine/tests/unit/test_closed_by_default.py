"""Nobody from outside is let in unless somebody has said so."""

import gc
import re

import pytest
from typer.testing import CliRunner

from goldpath.cli.app import app
from goldpath.serving.access.clients import Access, needs_credential
from goldpath.serving.access.roles import OWNER
from goldpath.serving.process import server
from goldpath.serving.process.server import ServingError, require_credentials
from goldpath.settings import Settings, SettingsError, load_settings

from ..locations import PROJECT

KEY = "0123456789abcdef0123"
EVERYWHERE = "0.0.0.0"  # noqa: S104  what is tested


def settings_with(project: Settings, patch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        patch.setenv(f"MLOPS_{name}", value)
    return load_settings(project.root)


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.7", "::ffff:192.0.2.7"])
def test_other_machines_are_not_served_without_credentials(
    project: Settings, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    settings = settings_with(project, monkeypatch, SERVING__HOST=host)

    with pytest.raises(ServingError, match=re.escape(f"serving.host is {host}")) as caught:
        require_credentials(settings)

    assert "MLOPS_ACCESS__REQUIRE_CREDENTIAL=true" in caught.value.fix


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_served_without_credentials_in_development(
    project: Settings, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    require_credentials(settings_with(project, monkeypatch, SERVING__HOST=host))


@pytest.mark.parametrize(
    "variables",
    [
        {"SERVING__API_KEY": KEY},
        {"ACCESS__REQUIRE_CREDENTIAL": "true"},
        {"ACCESS__REQUIRE_CREDENTIAL": "false"},
        {"ENVIRONMENT": "production", "SERVING__API_KEY": KEY},
    ],
    ids=["key", "credentials", "open on purpose", "production"],
)
def test_other_machines_are_served_where_a_setting_says_so(
    project: Settings, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    require_credentials(settings_with(project, monkeypatch, SERVING__HOST=EVERYWHERE, **variables))


def test_the_service_checks_it_before_it_listens(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with(project, monkeypatch, SERVING__HOST=EVERYWHERE)
    monkeypatch.setattr(server, "_listen", lambda *_: pytest.fail("it listens"))

    with pytest.raises(ServingError, match="no credential"):
        server.run_server(settings, production=False)


@pytest.mark.parametrize(
    ("said", "environment", "needs_key"),
    [("", "production", True), ("staging", "staging", True), ("development", "development", False)],
)
def test_serve_prod_is_production_unless_somebody_says_otherwise(
    project: Settings,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    environment: str,
    needs_key: bool,
) -> None:
    served: list[Settings] = []
    # Set first, so that what the command sets is taken back afterwards.
    monkeypatch.setenv("MLOPS_ENVIRONMENT", said)
    monkeypatch.setenv("MLOPS_ROOT", str(project.root))
    write_key(project)
    monkeypatch.setattr(server, "run_server", lambda settings, **_: served.append(settings))
    try:
        done = CliRunner().invoke(app, ["serve", "--production"])
    finally:
        gc.enable()

    assert done.exit_code == 0, done.output
    assert served[0].environment == environment
    assert needs_credential(served[0]) is needs_key


def test_the_first_key_opens_production(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"make setup.*\.secrets/api\.key"):
        settings_with(project, monkeypatch, ENVIRONMENT="production")
    write_key(project)

    access = Access(load_settings(project.root))

    assert access.anonymous is None
    assert access.known(b"x-api-key", KEY.encode()) is OWNER
    assert access.known(b"x-api-key", b"") is None


def test_the_first_key_is_valid_in_development_which_stays_open(project: Settings) -> None:
    write_key(project)

    access = Access(load_settings(project.root))

    assert access.anonymous is not None
    assert access.known(b"x-api-key", KEY.encode()) is OWNER


def test_the_image_is_production() -> None:
    image = (PROJECT / "infra" / "docker" / "api.Dockerfile").read_text()
    compose = (PROJECT / "infra" / "docker" / "compose.yaml").read_text()

    assert "MLOPS_ENVIRONMENT=production" in image
    api = compose[compose.index("\n  api:") : compose.index("\n  mlflow:")]
    assert "${MLOPS_ENVIRONMENT:-production}" in api


def write_key(project: Settings) -> None:
    file = project.root / ".secrets" / "api.key"
    file.parent.mkdir(exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(f"{KEY}\n")
    assert file.stat().st_mode & 0o077 == 0
