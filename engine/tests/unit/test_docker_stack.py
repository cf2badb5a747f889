"""`docker-up` says what is missing before it starts anything."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from goldpath.services.alerting.configuration import RouteError
from goldpath.services.docker_stack import (
    DockerError,
    compose_arguments,
    compose_environment,
    find_compose,
    start_stack,
    stop_stack,
)
from goldpath.services.processes import ServerError
from goldpath.settings import Settings, load_settings

from ..locations import PROJECT
from ..ports import free_port


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    root = tmp_path / "project"
    shutil.copytree(PROJECT / "config", root / "config")
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    monkeypatch.setenv("AIRFLOW_ADMIN_PASSWORD", "chosen by a person")
    monkeypatch.setenv("AIRFLOW_DATABASE_PASSWORD", "chosen by a person")
    monkeypatch.setenv("GRAFANA_ADMIN_PASSWORD", "chosen by a person")
    return load_settings(root)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, beside what a script needs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_without_docker_the_error_says_what_works_without_it(
    settings: Settings, programs: Path
) -> None:
    with pytest.raises(DockerError) as error:
        start_stack(settings)

    assert "docker" in error.value.message
    assert "make serve" in error.value.fix


@pytest.mark.parametrize("command", [start_stack, stop_stack])
def test_an_engine_that_does_not_run_is_named(
    settings: Settings, programs: Path, command: object
) -> None:
    install(programs, "docker", 'echo "Cannot connect to the Docker daemon" >&2; exit 1')

    with pytest.raises(DockerError, match="engine does not answer: Cannot connect") as error:
        command(settings)  # type: ignore[operator]

    assert "start it" in error.value.fix


def test_an_engine_without_compose_is_named(programs: Path) -> None:
    install(programs, "docker", 'test "$1" = info')

    with pytest.raises(DockerError, match="no compose command"):
        find_compose()


def test_compose_version_2_is_preferred(programs: Path) -> None:
    install(programs, "docker", "exit 0")
    install(programs, "docker-compose", "exit 0")

    assert find_compose() == [str(programs / "docker"), "compose"]


def test_the_standalone_compose_is_used_where_there_is_no_other(programs: Path) -> None:
    install(programs, "docker", 'test "$1" = info')
    install(programs, "docker-compose", "exit 0")

    assert find_compose() == [str(programs / "docker-compose")]


@pytest.mark.parametrize("password", [None, "", "admin", "Password"])
def test_a_missing_or_default_password_is_refused_before_docker_is_asked(
    settings: Settings, programs: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    install(programs, "docker", f'echo "$@" >> {programs}/calls')
    if password is None:
        monkeypatch.delenv("GRAFANA_ADMIN_PASSWORD")
    else:
        monkeypatch.setenv("GRAFANA_ADMIN_PASSWORD", password)

    with pytest.raises(DockerError, match="GRAFANA_ADMIN_PASSWORD") as error:
        start_stack(settings)

    assert "AIRFLOW_ADMIN_PASSWORD" not in error.value.message
    assert ".env" in error.value.fix
    assert not (programs / "calls").exists()


def test_a_route_that_could_tell_nobody_is_refused_before_anything_is_built(
    settings: Settings, programs: Path
) -> None:
    install(programs, "docker", f'echo "$@" >> {programs}/calls')
    file = settings.root / "config" / "monitoring.yaml"
    file.write_text(file.read_text().replace("routes: []  ", "routes: [{to: slack}]  "))

    with pytest.raises(RouteError, match="slack_url is empty"):
        start_stack(load_settings(settings.root))

    assert not (programs / "calls").exists()


@pytest.mark.parametrize("environment", [None, "staging"])
def test_the_routes_are_those_of_the_environment_that_the_containers_run_in(
    settings: Settings, programs: Path, monkeypatch: pytest.MonkeyPatch, environment: str | None
) -> None:
    install(programs, "docker", "exit 1")
    if environment:
        monkeypatch.setenv("MLOPS_ENVIRONMENT", environment)
        monkeypatch.setenv("MLOPS_SERVING__API_KEY", "0123456789abcdef0123")
    folder = settings.root / "config" / "environments"
    folder.mkdir()
    routes = {"development": "to: slack", "production": "to: teams", "staging": "to: webhook"}
    for name, route in routes.items():
        (folder / f"{name}.yaml").write_text(f"monitoring: {{alerts: {{routes: [{{{route}}}]}}}}\n")

    with pytest.raises(RouteError, match="webhook_url" if environment else "teams_url"):
        start_stack(load_settings(settings.root))

    assert os.environ.get("MLOPS_ENVIRONMENT") == environment
    (folder / f"{environment or 'production'}.yaml").unlink()
    with pytest.raises(DockerError, match="engine does not answer"):
        start_stack(load_settings(settings.root))


def test_a_port_in_use_is_refused_before_anything_is_built(
    settings: Settings, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(programs, "docker", f'echo "$@" >> {programs}/calls')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("MLOPS_SERVING__PORT", str(taken.getsockname()[1]))

        with pytest.raises(ServerError, match="in use"):
            start_stack(load_settings(settings.root))

    assert " up " not in (programs / "calls").read_text()


def test_a_failing_build_is_an_error(
    settings: Settings, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(programs, "docker", 'case "$*" in *" up "*) exit 17;; esac')
    for section in ("SERVING__PORT", "SERVERS__MLFLOW_PORT", "SERVERS__AIRFLOW_PORT"):
        monkeypatch.setenv(f"MLOPS_{section}", str(free_port()))
    for section in ("PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT"):
        monkeypatch.setenv(f"MLOPS_MONITORING__{section}", str(free_port()))
    monkeypatch.setenv("MLOPS_SERVING__API_KEY", "0123456789abcdef0123")

    with pytest.raises(DockerError, match="compose up ended with 17"):
        start_stack(load_settings(settings.root))


def test_the_ports_of_config_files_reach_compose(settings: Settings) -> None:
    file = settings.root / "config" / "serving.yaml"
    file.write_text(file.read_text().replace("port: 8000", "port: 8123"))

    environment = compose_environment(load_settings(settings.root))

    assert environment["MLOPS_SERVING__PORT"] == "8123"
    assert environment["GRAFANA_ADMIN_PASSWORD"] == os.environ["GRAFANA_ADMIN_PASSWORD"]


@pytest.mark.parametrize(
    ("folder", "name"), [("Churn 2.0", "churn-2-0"), ("_x", "x"), ("---", "project")]
)
def test_each_project_has_containers_of_its_own(folder: str, name: str) -> None:
    assert compose_arguments(Path("/somewhere") / folder)[:2] == ["--project-name", name]


def test_a_stack_without_a_key_is_refused_and_the_first_key_is_passed_on(
    settings: Settings, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(programs, "docker", "exit 0")
    for name in ("SERVING__PORT", "SERVERS__MLFLOW_PORT", "SERVERS__AIRFLOW_PORT"):
        monkeypatch.setenv(f"MLOPS_{name}", str(free_port()))
    for name in ("PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT"):
        monkeypatch.setenv(f"MLOPS_MONITORING__{name}", str(free_port()))

    with pytest.raises(DockerError, match="no key"):
        start_stack(load_settings(settings.root))
    with monkeypatch.context() as patch:  # else the container starts again and again for minutes
        patch.setenv("MLOPS_SERVING__API_KEY", "a-short-key")
        with pytest.raises(DockerError, match="has 11 characters"):
            start_stack(load_settings(settings.root))

    (settings.root / ".secrets").mkdir()
    (settings.root / ".secrets" / "api.key").write_text("0123456789abcdef0123\n")
    environment = compose_environment(load_settings(settings.root))
    assert environment["MLOPS_SERVING__API_KEY"] == "0123456789abcdef0123"
    assert "MLOPS_ENVIRONMENT" not in environment  # compose.yaml's own: production
