"""The example for nginx: a real nginx with it, in front of a real service."""

import contextlib
import json
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from goldpath.serving.http.problems import MEDIA_TYPE
from goldpath.serving.schemas import example_features
from goldpath.settings import ServingSettings

from ..locations import PROJECT
from ..ports import free_port
from .examples import contract_of
from .running_service import project_with_champion, running

CONFIG = PROJECT / "infra" / "nginx" / "service.conf"
BODY = {"features": example_features(contract_of("binary"))}
# Around the example: what nginx.conf of a distribution says, in a folder of the test's own.
AROUND = """
daemon off;
user root;
error_log stderr;
pid nginx.pid;
events { }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include service.conf;
}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or not all(map(shutil.which, ("nginx", "openssl", "curl"))),
        reason="needs nginx, openssl, curl, and Linux, whose loopback has many addresses",
    ),
]


@dataclass
class Proxy:
    """A running nginx and the service behind it.

    Attributes:
        plain: Its address without TLS.
        secure: Its address with TLS.
        certificate: What the certificate's trust begins with.
        service: The service's own address.
    """

    plain: str
    secure: str
    certificate: Path
    service: str

    @contextlib.contextmanager
    def client(self, source: str = "127.0.0.1") -> Iterator[httpx.Client]:
        """A client that trusts the certificate and comes from an address of loopback."""
        trust = ssl.create_default_context(cafile=self.certificate)
        transport = httpx.HTTPTransport(verify=trust, local_address=source)
        with httpx.Client(base_url=self.secure, transport=transport, timeout=30) as client:
            yield client


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    project_with_champion(root)
    return root


@pytest.fixture
def proxy(project: Path, tmp_path: Path) -> Iterator[Proxy]:
    with running(project) as service, nginx_before(service.port, tmp_path) as started:
        yield started


@contextlib.contextmanager
def nginx_before(port: int, folder: Path) -> Iterator[Proxy]:
    """An nginx with the example in front of a port, on ports of its own."""
    plain, secure = free_port(), free_port()
    write_config(folder, port, plain, secure)
    log = folder / "error.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"], stderr=output
        )
    found = Proxy(
        f"http://127.0.0.1:{plain}",
        f"https://127.0.0.1:{secure}",
        folder / "fullchain.pem",
        f"http://127.0.0.1:{port}",
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(httpx.TransportError):
                httpx.get(found.plain)
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=20)


def write_config(folder: Path, service: int, plain: int, secure: int) -> None:
    """The example as it is, but for its ports, its address and where its certificate lies."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", "privkey.pem", "-out", "fullchain.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    text = CONFIG.read_text().replace("/etc/nginx/tls", str(folder))
    for pattern, new, times in (
        (r"server 127\.0\.0\.1:8000;", f"server 127.0.0.1:{service};", 1),
        (r"listen 80;", f"listen 127.0.0.1:{plain};", 1),
        (r"listen 443 ", f"listen 127.0.0.1:{secure} ", 1),
        (r" *listen \[::\]:.*\n", "", 2),
        (r"api\.example\.com", "127.0.0.1", 3),
    ):
        text, found = re.subn(pattern, new, text)
        assert found == times, pattern
    (folder / "service.conf").write_text(text)
    (folder / "nginx.conf").write_text(AROUND)


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "fix"}
    assert problem["status"] == status
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert problem["detail"]
    assert problem["fix"]


def test_it_fits_the_service() -> None:
    text = CONFIG.read_text()
    serving = ServingSettings()
    idle = re.search(r"keepalive_timeout (\d+)s;", text)

    assert f"server 127.0.0.1:{serving.port};" in text
    assert "client_max_body_size 5m;" in text
    assert 0.9 * 5 * 1024**2 < serving.maximum_body_bytes <= 5 * 1024**2
    assert f"client_body_timeout {serving.read_seconds:g}s;" in text
    assert idle
    assert int(idle[1]) < uvicorn.Config("app:app").timeout_keep_alive


def test_predictions_come_through_with_tls(proxy: Proxy) -> None:
    with proxy.client() as client:
        answer = client.post("/predict", json=BODY)
        again = client.post("/predict", json=BODY)

    assert answer.status_code == 200
    assert again.json()["prediction"] == answer.json()["prediction"]
    assert again.json()["prediction_id"] != answer.json()["prediction_id"]
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"] != again.headers["x-request-id"]
    assert answer.json()["prediction"] == predicted(proxy.service)


def predicted(service: str) -> object:
    return httpx.post(f"{service}/predict", json=BODY).json()["prediction"]


def test_without_tls_it_says_where_to_go(proxy: Proxy) -> None:
    answer = httpx.post(f"{proxy.plain}/predict?a=b", json=BODY)

    assert answer.status_code == 308
    assert answer.headers["location"] == "https://127.0.0.1/predict?a=b"


def test_it_speaks_http_2(proxy: Proxy) -> None:
    asked = subprocess.run(
        [
            *(
                "curl",
                "-sS",
                "--http2",
                "--cacert",
                str(proxy.certificate),
                "-w",
                "\n%{http_version}",
            ),
            *(f"{proxy.secure}/predict", "-H", "Content-Type: application/json"),
            *("-d", json.dumps(BODY)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    answer, version = asked.stdout.rsplit("\n", 1)
    assert version == "2"
    assert json.loads(answer)["prediction"] == predicted(proxy.service)


def test_the_services_own_refusals_come_through(proxy: Proxy) -> None:
    with proxy.client() as client:
        wrong = client.post("/predict", json={"features": {"nobody": 1}})
        unknown = client.get("/nowhere")

    assert_problem(unknown, 404)
    assert wrong.status_code == 422
    assert "nobody" in wrong.text


def test_a_large_body_stops_at_nginx(proxy: Proxy) -> None:
    with proxy.client() as client:
        answer = client.post("/predict", content=b" " * 6_000_000)
        assert_problem(answer, 413)
        assert client.post("/predict", json=BODY).status_code == 200


def test_metrics_are_for_inside(proxy: Proxy) -> None:
    with proxy.client() as inside, proxy.client("127.0.0.2") as outside:
        assert inside.get("/metrics").status_code == 200
        for path in ("/metrics", "/metrics%0a", "/metrics/", "/%2fmetrics", "/x/..%2fmetrics"):
            assert_problem(outside.get(path), 403)
        assert outside.post("/predict", json=BODY).status_code == 200


def test_a_flood_from_one_address_stops_and_another_address_goes_on(proxy: Proxy) -> None:
    def ask(_: int) -> list[httpx.Response]:
        with proxy.client() as client:
            return [client.post("/predict", json=BODY) for _ in range(300)]

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = [answer for some in pool.map(ask, range(8)) for answer in some]
    seconds = time.monotonic() - began
    with proxy.client("127.0.0.2") as other:
        assert other.post("/predict", json=BODY).status_code == 200

    refused = [answer for answer in answers if answer.status_code != 200]
    answered = len(answers) - len(refused)
    assert 400 <= answered <= 401 + 200 * seconds
    assert seconds > 9 or refused, "a flood of 2400 in less than 9 s must be cut"
    for answer in refused:
        assert_problem(answer, 429)
        assert answer.headers["retry-after"] == "1"


def test_a_stopped_service_is_a_problem_and_a_new_one_is_found(
    project: Path, tmp_path: Path
) -> None:
    with (
        running(project) as first,
        nginx_before(first.port, tmp_path) as proxy,
        proxy.client() as client,
    ):
        assert client.post("/predict", json=BODY).status_code == 200
        first.process.terminate()
        first.process.wait(timeout=30)
        assert_problem(client.post("/predict", json=BODY), 502)
        with running(project, MLOPS_SERVING__PORT=str(first.port)):
            assert client.post("/predict", json=BODY).status_code == 200
