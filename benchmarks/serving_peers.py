"""The servers of the serving benchmark: what each needs, how it is started, asked and read."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving_engines import ENGINE, FOLDER
from serving_rows import CATEGORIES, CLASSES, NUMBERS

HERE = Path(__file__).resolve().parent
API_KEY = "a-key-of-the-serving-benchmark"
SAME = ("scikit-learn", "numpy", "pandas", "skops")
"""Packages that every peer has in the project's version: the stored model asks for them."""
PACKAGES: Mapping[str, tuple[str, ...]] = {
    # MLServer's worker dies with uvloop 0.22 and later: "There is no current event loop".
    "mlserver": ("mlserver>=1.7", "mlserver-mlflow>=1.7", "uvloop<0.22", "mlflow"),
    "mlflow": ("mlflow",),
    # Without a lower limit a resolver may find BentoML 0.9, which does not build.
    "bentoml": ("bentoml>=1.4", "pyyaml"),
    "litserve": ("litserve>=0.2.10", "pyyaml"),
}

Rows = Sequence[Mapping[str, Any]]
SKLEARN, COMPILED, LIMIT, OURS = "scikit-learn", "same engine", "limit", "ours"


@dataclass(frozen=True)
class Place:
    """Where the benchmark works.

    Attributes:
        folder: Its own folder, with `project`, `model` and an environment for each peer.
        python: The project's interpreter.
        source: The project's engine, unpacked, for the peers that score with it.
        module: What `python -m` starts as the service.
    """

    folder: Path
    python: Path
    source: Path
    module: str

    def program(self, environment: str, name: str) -> str:
        """A program of a peer's environment."""
        return str(self.folder / environment / "bin" / name)


@dataclass(frozen=True)
class Route:
    """One way to ask.

    Attributes:
        path: Of the URL.
        body: The body for some rows.
        read: The answer's probabilities of the second class, one a row.
    """

    path: str
    body: Callable[[Rows], object]
    read: Callable[[Any], list[float]]


@dataclass(frozen=True)
class Peer:
    """A server.

    Attributes:
        name: In the result.
        title: For people.
        kind: Which engine scores, or that none does.
        command: From place, port and workers.
        single: One row; a limit's answer is not read.
        many: Many rows; None where it is not asked.
        environment: Of its packages, below the benchmark's folder; None is the project's.
        variables: Of its process, from place, port and workers.
        headers: Of each request.
    """

    name: str
    title: str
    kind: str
    command: Callable[[Place, int, int], list[str]]
    single: Route
    many: Route | None = None
    environment: str | None = None
    variables: Callable[[Place, int, int], Mapping[str, str]] = lambda *_: {}
    headers: Mapping[str, str] = field(default_factory=dict)


def install(place: Place, name: str) -> str | None:
    """Make a peer's environment where it is not there; the reason where it cannot be made."""
    folder = place.folder / name
    interpreter = folder / "bin" / "python"
    packages = [*PACKAGES[name], *SAME]
    pins = dict(line.split("==") for line in _project_versions(place, packages).splitlines())
    wanted = [f"{package}=={pins[package]}" if package in pins else package for package in packages]
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == "\n".join(wanted):
        return None
    uv = [str(place.python), "-m", "uv"]
    for command in (
        [*uv, "venv", "--quiet", "--clear", "--python", str(place.python), str(folder)],
        [
            *uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(interpreter),
            *wanted,
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"cannot be installed: {done.stderr.strip()[-300:]}"
    stamp.write_text("\n".join(wanted), encoding="utf-8")
    return None


def versions(place: Place, name: str) -> dict[str, str]:
    """The packages that matter, as they are installed in a peer's environment."""
    python = place.program(name, "python")
    listed = _versions(python, [_plain(package) for package in PACKAGES[name]])
    return dict(line.split("==") for line in listed.splitlines())


def peers() -> list[Peer]:
    """All servers, in the order of the table."""
    return [
        _ours("ours", "this project, compiled model", {}),
        _ours(
            "ours_native",
            "this project, scikit-learn (fallback)",
            {"MLOPS_SERVING__COMPILED": "false"},
        ),
        Peer(
            "mlflow",
            "mlflow models serve",
            SKLEARN,
            _mlflow_command,
            *_both("/invocations", _dataframe_split, _mlflow_probabilities),
            environment="mlflow",
            # It starts Uvicorn by name.
            variables=lambda place, *_: {
                "PATH": f"{place.folder / 'mlflow' / 'bin'}{os.pathsep}{os.environ['PATH']}"
            },
        ),
        _mlserver("mlserver", "MLServer", {}),
        _mlserver(
            "mlserver_batched",
            "MLServer, adaptive batching",
            {"max_batch_size": 32, "max_batch_time": 0.002},
        ),
        _bentoml("bentoml_batched", "BentoML, adaptive batching", "sklearn", "predict"),
        _litserve("litserve_batched", "LitServe, batching", "sklearn", 32),
        _bentoml(
            "bentoml_compiled_batched", "BentoML, batching + our engine", "compiled", "predict"
        ),
        _bentoml("bentoml_compiled", "BentoML + our engine", "compiled", "predict_at_once"),
        _litserve("litserve_compiled_batched", "LitServe, batching + our engine", "compiled", 32),
        _litserve("litserve_compiled", "LitServe + our engine", "compiled", 1),
        _limit("empty_fastapi", "empty FastAPI endpoint, no model", "fastapi"),
        _limit("empty_asgi", "empty ASGI app, no model", "asgi"),
    ]


def _ours(name: str, title: str, variables: Mapping[str, str]) -> Peer:
    return Peer(
        name,
        title,
        OURS,
        # Not without --production: that one writes an access log, as no peer here does.
        lambda place, *_: [str(place.python), "-m", place.module, "serve", "--production"],
        Route("/predict", lambda rows: {"features": rows[0]}, lambda answer: _second([answer])),
        Route(
            "/predict/batch",
            lambda rows: {"instances": list(rows)},
            lambda answer: _second(answer["predictions"]),
        ),
        variables=lambda place, port, workers: {
            "MLOPS_ROOT": str(place.folder / "project"),
            "MLOPS_SERVING__HOST": "127.0.0.1",
            "MLOPS_SERVING__PORT": str(port),
            "MLOPS_SERVING__WORKERS": str(workers),
            "MLOPS_SERVING__API_KEY": API_KEY,
            **variables,
        },
        headers={"X-API-Key": API_KEY},
    )


def _second(items: Sequence[Mapping[str, Any]]) -> list[float]:
    return [item["probabilities"][CLASSES[1]] for item in items]


def _both(
    path: str, body: Callable[[Rows], object], read: Callable[[Any], list[float]]
) -> tuple[Route, Route]:
    return Route(path, body, read), Route(path, body, read)


def _mlflow_command(place: Place, port: int, workers: int) -> list[str]:
    model = str(place.folder / "model" / "mlflow")
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    program = place.program("mlflow", "mlflow")
    return [program, "models", "serve", "--model-uri", model, "--env-manager", "local", *where]


def _dataframe_split(rows: Rows) -> object:
    names = [*NUMBERS, *CATEGORIES]
    data = [[row[name] for name in names] for row in rows]
    return {"dataframe_split": {"columns": names, "data": data}}


def _mlflow_probabilities(answer: Any) -> list[float]:
    return [row[1] for row in answer["predictions"]]


def _mlserver(name: str, title: str, batching: Mapping[str, float]) -> Peer:
    def command(place: Place, *_: int) -> list[str]:
        folder = place.folder / "settings" / name
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "name": "model",
            "implementation": "mlserver_mlflow.MLflowRuntime",
            "parameters": {"uri": str(place.folder / "model" / "mlflow")},
            **batching,
        }
        (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")
        return [place.program("mlserver", "mlserver"), "start", str(folder)]

    return Peer(
        name,
        title,
        SKLEARN,
        command,
        *_both(
            "/v2/models/model/infer", _v2_request, lambda answer: answer["outputs"][0]["data"][1::2]
        ),
        environment="mlserver",
        variables=lambda _, port, __: {
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(port),
            "MLSERVER_GRPC_PORT": str(port + 1),
            "MLSERVER_METRICS_PORT": str(port + 2),
            "MLSERVER_PARALLEL_WORKERS": "0",
            "MLSERVER_DEBUG": "false",
        },
    )


def _v2_request(rows: Rows) -> object:
    inputs: list[dict[str, Any]] = []
    for name in (*NUMBERS, *CATEGORIES):
        column: dict[str, Any] = {"name": name, "shape": [len(rows), 1]}
        column["datatype"] = "FP64" if name in NUMBERS else "BYTES"
        if name in CATEGORIES:
            column["parameters"] = {"content_type": "str"}
        inputs.append({**column, "data": [row[name] for row in rows]})
    return {"parameters": {"content_type": "pd"}, "inputs": inputs}


def _bentoml(name: str, title: str, engine: str, method: str) -> Peer:
    def read(answer: Any) -> list[float]:
        return [row[1] for row in answer]

    def rows_of(rows: Rows) -> object:
        return {"rows": list(rows)}

    return Peer(
        name,
        title,
        SKLEARN if engine == "sklearn" else COMPILED,
        lambda place, port, _: [
            *(place.program("bentoml", "bentoml"), "serve", "serving_bentoml:Scorer"),
            *("--working-dir", str(HERE), "--host", "127.0.0.1", "--port", str(port)),
        ],
        Route(f"/{method}", rows_of, read),
        # More rows than a batch may have are refused by the batching route.
        Route("/predict_at_once", rows_of, read),
        environment="bentoml",
        variables=lambda place, *_: {
            **_engine(place, engine),
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": str(place.folder / "bentoml-home"),
        },
    )


def _litserve(name: str, title: str, engine: str, batch_size: int) -> Peer:
    def read(answer: Any) -> list[float]:
        return [row[1] for row in answer["probabilities"]]

    return Peer(
        name,
        title,
        SKLEARN if engine == "sklearn" else COMPILED,
        lambda place, port, _: [
            *(place.program("litserve", "python"), str(HERE / "serving_litserve.py")),
            *(str(port), str(batch_size), "0.002"),
        ],
        *_both("/predict", lambda rows: {"rows": list(rows)}, read),
        environment="litserve",
        variables=lambda place, *_: _engine(place, engine),
    )


def _engine(place: Place, engine: str) -> dict[str, str]:
    return {
        ENGINE: engine,
        FOLDER: str(place.folder),
        "PYTHONPATH": f"{place.source}{os.pathsep}{HERE}",
    }


def _limit(name: str, title: str, app: str) -> Peer:
    return Peer(
        name,
        title,
        LIMIT,
        lambda place, port, _: [str(place.python), str(HERE / "serving_limits.py"), app, str(port)],
        Route("/predict", lambda rows: {"features": rows[0]}, lambda _: []),
    )


def _plain(requirement: str) -> str:
    return requirement.split(">")[0].split("<")[0]


def _project_versions(place: Place, packages: Sequence[str]) -> str:
    return _versions(str(place.python), [p for p in packages if p in (*SAME, "mlflow")])


def _versions(python: str, packages: Sequence[str]) -> str:
    code = (
        "import sys; from importlib.metadata import version\n"
        "for name in sys.argv[1:]: print(f'{name}=={version(name)}')"
    )
    done = subprocess.run(
        [python, "-c", code, *packages], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
