"""The registry on servers of other kinds: with a login, and on PostgreSQL; and on none at all."""

import base64
import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from goldpath.jobs.promotion.registry_audit import verify_audit
from goldpath.jobs.promotion.rollback import rollback
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.registry.stores.mlflow import MlflowStore
from goldpath.registry.stores.rest import RestStore
from goldpath.services.backup import BackupError, RegistryPlace, backup, restore

from ..mlflow_servers import MlflowServer, mlflow_server
from ..ports import free_port
from ..postgres_server import PASSWORD, postgres_server
from ..registry_projects import CONTRACT, add_version, make_registry, scores

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("registry"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

ADMIN, ADMIN_PASSWORD = "admin", "a long enough password"
AUTH = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = {user}
admin_password = {password}
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


# MLflow's login needs Flask-WTF for the token in its sign-up form, which nothing here uses. Where
# it is not installed, this takes its place: the login itself is MLflow's own.
FORM_TOKENS = """
class CSRFProtect:
    def init_app(self, app): ...
    def protect(self): ...
"""


@pytest.fixture(scope="module")
def auth_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server that asks for user and password."""
    folder = tmp_path_factory.mktemp("auth-server")
    if find_spec("flask_wtf") is None:
        package = folder / "instead" / "flask_wtf"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "csrf.py").write_text(FORM_TOKENS)
    config = folder / "auth.ini"
    config.write_text(AUTH.format(folder=folder, user=ADMIN, password=ADMIN_PASSWORD))
    environment = {
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for this test",
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "PYTHONPATH": os.pathsep.join(
            [*sys.path, *([str(folder / "instead")] if (folder / "instead").is_dir() else [])]
        ),
    }
    with mlflow_server(folder, None, ["--app-name", "basic-auth"], environment) as server:
        yield server


def log_in(monkeypatch: pytest.MonkeyPatch, user: str, password: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


def whole_life(manager: MLflowManager) -> None:
    for seed in ("1", "2"):
        add_version(manager, seed=seed)
        manager.set_champion(seed)
    manager.transition_stage("1", "Staging")
    manager.annotate("1", {"team": "a"}, description="the first")
    assert rollback(manager.settings, CONTRACT).model_version == "1"
    assert len(scores(manager, "champion")) == 50
    with pytest.raises(RegistryError, match="is champion"):
        manager.delete_version("1")
    manager.delete_version("2")
    assert verify_audit(manager.settings, CONTRACT).intact


def test_whole_life_on_a_server_with_a_login(
    auth_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    manager = make_registry(tmp_path, auth_server.url)
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_USERNAME"):
        manager.versions()
    log_in(monkeypatch, ADMIN, "not the password")
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_USERNAME"):
        make_registry(tmp_path, auth_server.url).versions()

    log_in(monkeypatch, ADMIN, ADMIN_PASSWORD)
    manager = make_registry(tmp_path, auth_server.url)
    assert isinstance(manager.store, RestStore)
    whole_life(manager)

    reader_password = "a password of sixteen and more"
    login = base64.b64encode(f"{ADMIN}:{ADMIN_PASSWORD}".encode()).decode()
    request = Request(
        f"{auth_server.url}/api/2.0/mlflow/users/create",
        json.dumps({"username": "reader", "password": reader_password}).encode(),
        {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
    )
    urlopen(request).close()
    log_in(monkeypatch, "reader", reader_password)
    reader = make_registry(tmp_path, auth_server.url)
    assert [version.version for version in reader.versions()] == ["1"]
    with pytest.raises(RegistryError, match="refused"):
        reader.set_alias("mine", "1")


def test_whole_life_on_postgresql_and_back_from_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    with postgres_server("mlflow") as url:
        database = url.replace("postgresql:", "postgresql+psycopg:")
        with mlflow_server(tmp_path / "server", database) as server:
            manager = make_registry(tmp_path, server.url)
            whole_life(manager)
            before = scores(manager, "champion")
            place = RegistryPlace(url, server.artifacts)
            saved = backup(place, tmp_path / "saved.tar")
            assert saved.database == "postgresql"
            manager.delete_model(force=True)
        again = RegistryPlace(url, tmp_path / "second" / "artifacts")
        with pytest.raises(BackupError, match="there is a registry already") as refused:
            restore(tmp_path / "saved.tar", again)
        assert PASSWORD not in str(refused.value)
        restore(tmp_path / "saved.tar", again, force=True)
        with mlflow_server(tmp_path / "second", database) as server:
            manager = make_registry(tmp_path, server.url)
            assert scores(manager, "champion") == before
        direct = make_registry(tmp_path, database)  # the database itself, without a server
        assert type(direct.store) is MlflowStore
        found = direct.champion_version()
        assert found is not None
        assert found.version == "1"


def test_server_that_is_down_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    url = f"http://user:hidden@127.0.0.1:{free_port()}"
    manager = make_registry(tmp_path, url)

    with pytest.raises(RegistryError, match="cannot be reached") as caught:
        manager.champion_version()

    assert "make mlflow-up" in str(caught.value)
    assert "hidden" not in str(caught.value)
