"""Run the serving lane's tests on the lowest and the highest Uvicorn that pyproject.toml allows.

The lane overrides methods of Uvicorn's HTTP protocol, so its range is capped at what was tested.
Run by `make test-uvicorn`; further arguments go to pytest. Each Uvicorn is installed into a
temporary folder that comes before the environment's own.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ENGINE = Path(__file__).resolve().parent
TESTS = (
    "tests/api/test_lane_protocol.py",
    "tests/api/test_fast_lane.py",
    "tests/api/test_server.py",
)
SHOW = "import uvicorn; print(uvicorn.__version__, uvicorn.__file__)"


def main() -> int:
    """Test both ends; 1 if one of them fails."""
    codes = [test(resolution, sys.argv[1:]) for resolution in ("lowest-direct", "highest")]
    return 1 if any(codes) else 0


def allowed() -> str:
    """The requirement of the serving extra, without Uvicorn's own extras."""
    project = tomllib.loads((ENGINE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (found,) = [
        requirement
        for requirement in project["optional-dependencies"]["serving"]
        if requirement.startswith("uvicorn")
    ]
    return str(found).replace("[standard]", "")


def test(resolution: str, arguments: list[str]) -> int:
    """Install one end of the range and run the lane's tests on it."""
    with tempfile.TemporaryDirectory() as folder:
        uv = Path(sys.executable).with_name("uv")
        install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--no-deps"]
        subprocess.run(
            [*install, "--resolution", resolution, "--target", folder, allowed()], check=True
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(ENGINE / "src")])}
        shown = subprocess.run(
            [sys.executable, "-c", SHOW],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        version, file = shown.stdout.split(maxsplit=1)
        if not file.startswith(folder):
            raise SystemExit(f"Error: the tests would run on {file.strip()}, not on {folder}.")
        print(f"== Uvicorn {version}, the {resolution.split('-')[0]} of {allowed()}", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", *TESTS, *arguments]
        return subprocess.run(command, cwd=ENGINE, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
