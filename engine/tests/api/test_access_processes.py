"""Access as it is deployed: several workers, the command line beside them, HTTPS."""

import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from goldpath.serving.process.loopback import loopback_service
from goldpath.serving.schemas import example_features
from goldpath.settings import load_settings

from ..locations import PROJECT
from ..ports import free_port
from .conftest import until
from .examples import contract_of
from .running_service import RunningService, project_with_champion, running

pytestmark = pytest.mark.slow

PACKAGE = "goldpath"
BODY = {"features": example_features(contract_of("binary"))}
PASSWORD = "four words make one"


@pytest.fixture(scope="module")
def project_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("access")
    project_with_champion(root, family="linear")
    return root


def command(root: Path, *arguments: str, typed: str = "") -> dict[str, Any]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-m", PACKAGE, *arguments, "--json"],
        env={**environment, "MLOPS_ROOT": str(root)},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return {**values, "code": done.returncode}


def ask(service: RunningService, **headers: str) -> int:
    """The status of a prediction over a connection of its own, so that any worker may have it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(service.url + "/predict", json=BODY, headers=named, timeout=30).status_code


def test_what_the_command_line_does_holds_for_workers_that_run(project_root: Path) -> None:
    variables = {"MLOPS_ACCESS__REQUIRE_CREDENTIAL": "true", "MLOPS_ACCESS__CACHE_SECONDS": "1"}
    with running(project_root, "--production", **variables) as service:
        assert {ask(service) for _ in range(8)} == {401}
        made = command(project_root, "api-key", "create", "shop", "--days", "1")
        added = command(project_root, "user", "add", "ana", "--role", "predict", typed=PASSWORD)
        key = made["key"]
        assert (made["roles"], added["roles"]) == (["predict"], ["predict"])
        assert {ask(service, X_API_Key=key) for _ in range(20)} == {200}
        form = {"username": "ana", "password": PASSWORD}
        answer = httpx.post(service.url + "/auth/token", data=form, timeout=60)
        token = answer.json()["access_token"]
        assert {ask(service, Authorization=f"Bearer {token}") for _ in range(20)} == {200}

        command(project_root, "api-key", "revoke", made["id"])
        command(project_root, "user", "disable", "ana")
        time.sleep(1.5)  # the promised second, and a turn of a busy machine

        assert {ask(service, X_API_Key=key) for _ in range(20)} == {401}
        assert {ask(service, Authorization=f"Bearer {token}") for _ in range(20)} == {401}
    listed = command(project_root, "api-key", "list")["keys"]
    audited = command(project_root, "access", "audit")
    assert [(each["name"], each["valid"]) for each in listed] == [("shop", False)]
    assert listed[0]["last_used"]
    assert audited["intact"]
    assert [each["action"] for each in audited["actions"]] == [
        *("key created", "user added", "key revoked", "user disabled")
    ]
    assert key not in service.output()
    assert token not in service.output()
    assert PASSWORD not in service.output()


def test_two_workers_share_one_limit(project_root: Path) -> None:
    rate, burst = 2, 30
    variables = {
        "MLOPS_ACCESS__REQUESTS_PER_SECOND": str(rate),
        "MLOPS_ACCESS__BURST_SECONDS": str(burst / rate),
    }
    with running(project_root, "--production", **variables) as service:
        started = time.monotonic()
        statuses = [ask(service) for _ in range(100)]
        seconds = time.monotonic() - started

    assert set(statuses) == {200, 429}
    assert burst <= statuses.count(200) <= burst + rate * seconds


def test_the_service_speaks_https(project_root: Path) -> None:
    certificate, key = self_signed(project_root)
    context = ssl.create_default_context(cafile=str(project_root / certificate))
    port = free_port()
    environment = environment_of(project_root, certificate, key, port)
    process = subprocess.Popen(
        [sys.executable, "-m", PACKAGE, "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    url = f"https://127.0.0.1:{port}"
    try:
        with httpx.Client(verify=context, timeout=30) as client:
            until(lambda: answers(client, url + "/ready"), seconds=120)
            health = client.get(url + "/health")
            looked = check_health(environment)
            predicted = client.post(url + "/predict", json=BODY)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=30)
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)

    assert health.status_code == predicted.status_code == 200
    assert health.headers["strict-transport-security"].startswith("max-age=")
    assert url in output
    assert process.returncode == 0
    assert looked.returncode == 0, looked.stderr
    stopped = check_health(environment)
    assert stopped.returncode == 1
    assert "does not answer" in stopped.stderr


def test_the_trial_before_a_deployment_works_over_https(
    project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(project_root)
    monkeypatch.setenv("MLOPS_ROOT", str(project_root))
    monkeypatch.setenv("MLOPS_SERVING__TLS_CERTIFICATE", certificate)
    monkeypatch.setenv("MLOPS_SERVING__TLS_KEY", key)
    monkeypatch.setenv("MLOPS_ACCESS__REQUIRE_CREDENTIAL", "true")
    with loopback_service(load_settings(project_root), "trial", {}) as service:
        assert service.url.startswith("https://")
        assert service.post("/predict", BODY)["model_version"] == "1"


def check_health(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """As the image's Dockerfile does."""
    dockerfile = PROJECT / "infra" / "docker" / "api.Dockerfile"
    _, _, after = dockerfile.read_text().partition("HEALTHCHECK")
    command = json.loads(after.split("CMD", 2)[1])
    assert command[0] == "python"
    return subprocess.run(
        [sys.executable, *command[1:]], env=environment, capture_output=True, text=True, check=False
    )


def answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False


def environment_of(root: Path, certificate: str, key: str, port: int) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "MLFLOW_"))}
    return {
        **environment,
        "MLOPS_ROOT": str(root),
        "MLOPS_SERVING__PORT": str(port),
        "MLOPS_SERVING__TLS_CERTIFICATE": certificate,
        "MLOPS_SERVING__TLS_KEY": key,
    }


def self_signed(root: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 and its key, as names of files in the project."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(private, hashes.SHA256())
    )
    (root / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (root / "key.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return "cert.pem", "key.pem"


def test_a_certificate_that_is_none_is_one_clear_sentence(project_root: Path) -> None:
    (project_root / "none.pem").write_text("nothing")
    done = subprocess.run(
        [sys.executable, "-m", PACKAGE, "serve"],
        env=environment_of(project_root, "none.pem", "none.pem", free_port()),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert "none.pem" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_is_no_argument_and_a_short_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "project.yaml").write_text("{}")

    short = command(tmp_path, "user", "add", "ana", typed="short\n")
    twice = [command(tmp_path, "user", "add", "ana", typed=PASSWORD)["code"] for _ in range(2)]

    assert short["code"] == 2
    assert "12" in short["fix"]
    assert twice == [0, 2]
    assert command(tmp_path, "user", "password", "bob", typed=PASSWORD)["code"] == 2
    assert command(tmp_path, "api-key", "create", "x", "--role", "root")["code"] == 2
    assert command(tmp_path, "api-key", "revoke", "x")["code"] == 2
    rotated = [command(tmp_path, "access", "rotate")["kid"] for _ in range(2)]
    assert len(set(rotated)) == 2
    assert [each["name"] for each in command(tmp_path, "user", "list")["users"]] == ["ana"]
