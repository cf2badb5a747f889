"""What other callers notice while one client posts bodies that are long only to be refused.

Run by the demo project's interpreter, over its champion, with one worker and so one event loop.
A caller asks `/predict` every few milliseconds, alone and then beside a client (a process of its
own) that posts one kind of body after another on several connections. Said is the caller's median
and 99th percentile; the promise is 50 ms. Service, caller and client share this machine's cores,
so what the client takes to send counts, too. The figures go to `benchmarks/results/stall.json`.

    PYTHON benchmarks/stall.py DEMO
"""

import http.client
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

SECONDS, PAUSE, CONNECTIONS, PROMISED_MS = 5.0, 0.004, 4, 50.0
MEGABYTES = 4_500_000
RESULT = Path(__file__).parent / "results" / "stall.json"
HEADERS = {"Content-Type": "application/json"}
BODIES = {
    "empty objects": ("/predict/batch", b'{"instances": [', b"{},", b"{}]}"),
    "a list of objects": ("/predict", b"[", b"{},", b"{}]"),
    "numbers": ("/invocations", b'{"instances": [', b"1,", b"1]}"),
    "a name again and again": ("/predict", b'{"features": {', b'"a":1,', b'"a":1}}'),
    "lists in lists": ("/predict/batch", b'{"instances": [', b"[[[[]]]],", b"[]]}"),
    "a text that does not end": ("/feedback", b'{"label": "', b"a,b,", b""),
    "objects without an end": ("/feedback/batch", b'{"labels": [', b"{},", b""),
    "texts of escapes": (
        "/invocations",
        b'{"instances": [',
        b'"' + b"\\u0041" * 17 + b'",',
        b'""]}',
    ),
    "whole numbers of 4000 digits": ("/feedback", b'{"a": [', b"7" * 4000 + b",", b"7]}"),
    "white space": ("/predict/batch", b'{"instances": [', b" " * 60_000 + b"0,", b"0]}"),
}


def main() -> int:
    """Print a table and write the result; 1 where the promise is broken."""
    demo = Path(sys.argv[1]).resolve()
    os.environ["MLOPS_ROOT"] = str(demo)
    row = json.dumps({"features": _example(demo)}).encode()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    package = next((demo / "src").glob("*/__main__.py")).parent.name
    service = subprocess.Popen(
        [sys.executable, "-m", package, "serve"],
        cwd=demo,
        env={**os.environ, "MLOPS_SERVING__PORT": str(port), "MLOPS_SERVING__HOST": "127.0.0.1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port)
        found = _table(port, row)
    finally:
        service.terminate()
        service.wait(timeout=30)
    worst = max(each["p99_ms"] for each in found.values())
    result = {
        "name": "stall",
        "ratio": round(worst / PROMISED_MS, 3),
        "unit": "worst 99th percentile of another caller / the 50 ms that are promised",
        "n": sum(int(each["asked"]) for each in found.values()),
        "details": {
            "beside": found,
            "body_bytes": MEGABYTES,
            "connections": CONNECTIONS,
            "seconds": SECONDS,
            "workers": 1,
            "cores": os.cpu_count(),
            "cores_shared_by": "service, measured caller and posting client",
            "priority": "real-time" if os.sched_getscheduler(0) else "usual",
            "load_of_all": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        },
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if worst > PROMISED_MS else 0


def _table(port: int, row: bytes) -> dict[str, dict[str, float]]:
    rows = {}
    print(f"{'beside':28} {'asked':>7} {'p50 ms':>8} {'p99 ms':>8} {'refused':>8}")
    for kind in ("nobody", *BODIES):
        command = [sys.executable, __file__, "--post", str(port), kind]
        poster = (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) if kind in BODIES else None
        )
        time.sleep(1.0)
        found = _ask(port, row)
        refused = ""
        if poster is not None:
            refused = poster.communicate(timeout=60)[0].strip()
        cut = statistics.quantiles(found, n=100)
        print(f"{kind:28} {len(found):7} {cut[49]:8.2f} {cut[98]:8.2f} {refused:>8}", flush=True)
        rows[kind] = {"asked": len(found), "p50_ms": round(cut[49], 2), "p99_ms": round(cut[98], 2)}
        if refused:
            rows[kind]["refused"] = int(refused)
    return rows


def _ask(port: int, row: bytes) -> list[float]:
    """Milliseconds of one prediction after another."""
    found, until = [], time.monotonic() + SECONDS
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.monotonic() < until:
        started = time.perf_counter()
        connection.request("POST", "/predict", row, HEADERS)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"/predict answered {answer.status}")
        found.append((time.perf_counter() - started) * 1000)
        time.sleep(PAUSE)
    connection.close()
    return found


def post(port: int, kind: str) -> None:
    """Post a body until the caller has measured; print how many were refused."""
    path, begin, part, end = BODIES[kind]
    body = begin + part * ((MEGABYTES - len(begin) - len(end)) // len(part)) + end
    counts: list[int] = []

    def go_on() -> None:
        until, count = time.monotonic() + SECONDS + 1, 0
        while time.monotonic() < until:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", path, body, HEADERS)
            count += connection.getresponse().status in (400, 413, 422, 429)
            connection.close()
        counts.append(count)

    threads = [threading.Thread(target=go_on) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(counts))


def _example(demo: Path) -> dict[str, object]:
    from goldpath.contract import load_contract
    from goldpath.serving.schemas import example_features

    return example_features(load_contract(demo))


def _wait(port: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("the service has no model: run make demo first")


if __name__ == "__main__":
    if sys.argv[1] == "--post":
        post(int(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(main())
