"""`bake` generates a project from any answers; `installed` is the default one, ready to run."""

import atexit
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TEMPLATE / "engine" / "src"))

from goldpath.services.vendored_engine import build_wheel, install_wheel  # noqa: E402

PROJECT_SOURCE = TEMPLATE / "{{cookiecutter.repo_name}}"
# What would leak from the caller's shell into a project: its environment, paths and settings.
LEAKS = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "MAKEFLAGS", "ARGS")
LEAKING_PREFIXES = ("MLOPS_", "MLFLOW_", "AIRFLOW_", "AWS_", "GIT_", "COV_", "PYTEST_")


def clean_environment(**extra: str) -> dict[str, str]:
    """The caller's environment without what would change a project's behaviour."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in LEAKS and not name.startswith(LEAKING_PREFIXES)
    }
    own_scripts = str(Path(sys.executable).parent)
    search = [part for part in kept.get("PATH", "").split(os.pathsep) if part != own_scripts]
    return {**kept, "PATH": os.pathsep.join(search), **extra}


@dataclass(frozen=True)
class Finished:
    """How a command ended, and all that it printed."""

    code: int
    output: str


@dataclass(frozen=True)
class BakedProject:
    """A generated project and the environment to run its commands in."""

    root: Path
    output: str = ""
    environment: dict[str, str] = field(default_factory=clean_environment)

    @property
    def package(self) -> Path:
        """The folder of the project's package."""
        return next(folder for folder in (self.root / "src").iterdir() if folder.is_dir())

    def files(self) -> list[Path]:
        """Every generated file, relative to the project."""
        ignored = {".git", ".venv", ".venv-uv", ".venv-airflow", "__pycache__"}
        return sorted(
            path.relative_to(self.root)
            for path in self.root.rglob("*")
            if path.is_file() and not ignored & set(path.relative_to(self.root).parts)
        )

    def read(self, name: str) -> str:
        """A file's text."""
        return (self.root / name).read_text(encoding="utf-8")

    def run(self, *command: str | Path, timeout: float = 600, **extra: str) -> Finished:
        """Run a command in the project; the exit code is the caller's to judge."""
        return run(*command, cwd=self.root, timeout=timeout, env={**self.environment, **extra})

    def make(self, *targets: str, timeout: float = 900, **extra: str) -> Finished:
        """Run make targets and insist that they work."""
        finished = self.run("make", *targets, timeout=timeout, **extra)
        assert finished.code == 0, f"make {' '.join(targets)}: {finished.code}\n{finished.output}"
        return finished


@dataclass(frozen=True)
class Shell:
    """A user's shell on a machine that has no copy of this repository."""

    folder: Path
    programs: Path
    environment: dict[str, str]

    def __call__(self, *command: str | Path, code: int | None = 0) -> Finished:
        """Run a program of the updater's environment, or git."""
        program, *arguments = command
        found = self.programs / str(program)
        words = (found if found.exists() else program, *arguments)
        finished = run(*words, cwd=self.folder, timeout=600, env=self.environment)
        assert code is None or finished.code == code, finished.output
        return finished

    def at(self, folder: Path) -> "Shell":
        """The same shell in another folder."""
        return Shell(folder, self.programs, {**self.environment, "PWD": str(folder)})

    def git(self, *arguments: str | Path) -> str:
        """What git prints."""
        return self("git", *arguments).output.strip()

    def commit(self, message: str) -> str:
        """Commit all; returns the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-verify", "--message", message)
        return self.git("rev-parse", "HEAD")


def run(*command: str | Path, cwd: Path, timeout: float, env: dict[str, str]) -> Finished:
    """Run a command without a terminal; what it prints goes to one text."""
    finished = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return Finished(finished.returncode, finished.stdout)


@functools.cache
def template_files() -> Path:
    """The template as a clone would have it, with a wheel of the engine as it is in this tree.

    Caches and whatever else git ignores stay away. The committed wheel is looked at by
    test_vendored_wheel.py only.
    """
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=TEMPLATE, capture_output=True, check=True, text=True)
    copy = Path(tempfile.mkdtemp(prefix="template-")) / "mlops-template"
    atexit.register(shutil.rmtree, copy.parent, ignore_errors=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (TEMPLATE / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TEMPLATE / name, copy / name)
    install_wheel(copy / PROJECT_SOURCE.name, build_wheel(copy / "engine", copy.parent))
    return copy


def cookiecutter(output: Path, *options: str, path: str | None = None, **answers: str) -> Finished:
    """Call Cookiecutter's command line as a user would, without the user's own defaults."""
    home = output.parent / f"{output.name}-home"
    home.mkdir(exist_ok=True)
    environment = clean_environment(HOME=str(home), PWD=str(output))
    # A person's name must not reach a commit that a test looks at.
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    if path is not None:
        environment["PATH"] = path
    return run(
        *(sys.executable, "-m", "cookiecutter", str(template_files())),
        *("--no-input", "--default-config", "--output-dir", str(output), *options),
        *(f"{name}={value}" for name, value in answers.items()),
        cwd=output,
        timeout=120,
        env=environment,
    )


Bake = Callable[..., BakedProject]
Record = Callable[[str, object], None]


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    """Generate a project outside the repository; only the answers that are given differ."""

    def bake_project(**answers: str) -> BakedProject:
        output = tmp_path / "work"
        output.mkdir(exist_ok=True)
        before = set(output.iterdir())
        finished = cookiecutter(output, **answers)
        assert finished.code == 0, finished.output
        (root,) = set(output.iterdir()) - before
        return BakedProject(root, finished.output)

    return bake_project


@pytest.fixture(scope="session")
def default_project(tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """The project of the default answers; tests read it and change nothing."""
    output = tmp_path_factory.mktemp("default")
    finished = cookiecutter(output)
    assert finished.code == 0, finished.output
    return BakedProject(output / "customer-churn", finished.output)


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Whether this worker is the one that makes a folder which all workers of a run share.

    The others wait until it is done; if it fails, the next one tries.
    """
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"process {os.getpid()}")
    with folder.with_name(f"{folder.name}.run").open("a+", encoding="utf-8") as stamp:
        fcntl.flock(stamp, fcntl.LOCK_EX)
        stamp.seek(0)
        made = stamp.read() == run_id
        yield not made
        stamp.truncate(0)
        stamp.write(run_id)


@pytest.fixture(scope="session")
def installed() -> BakedProject:
    """The default project with the environments that its own bootstrap.py makes.

    They outlive the session in a folder keyed by the locks, since installing takes minutes.
    """
    locks = sorted((PROJECT_SOURCE / "requirements").glob("*.txt"))
    # A newer engine is installed on top of the same packages in a second.
    locks = [lock for lock in locks if lock.name != "engine.txt"]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:12]
    cache = Path(tempfile.gettempdir()) / f"mlops-template-tests-{os.getuid()}" / digest
    project = BakedProject(cache / "customer-churn")
    project.root.mkdir(parents=True, exist_ok=True)
    with made_once(project.root) as mine:
        if mine:
            for entry in project.root.iterdir():
                if entry.name.startswith(".venv"):
                    continue
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            finished = cookiecutter(cache, "--overwrite-if-exists")
            assert finished.code == 0, finished.output
            for environment in ("project", "airflow"):
                finished = project.run("python3", "bootstrap.py", environment, timeout=1200)
                assert finished.code == 0, finished.output
    return project


@pytest.fixture
def workbench(installed: BakedProject, tmp_path: Path) -> BakedProject:
    """A copy of the installed project to work in; it shares the environments, not the data."""
    root = tmp_path / installed.root.name
    generated = {".venv", ".venv-airflow", ".venv-uv", "lake", "mlflow", "run", "reports", "logs"}
    shutil.copytree(
        installed.root,
        root,
        ignore=lambda folder, names: (
            generated & set(names) if Path(folder) == installed.root else []
        ),
    )
    for environment in (".venv", ".venv-airflow", ".venv-uv"):
        (root / environment).symlink_to(installed.root / environment)
    # The environment's path file names the other copy's sources; these come before it.
    return BakedProject(root, environment=clean_environment(PYTHONPATH=str(root / "src")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `alone`, unless the command names the mark."""
    if "alone" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("alone")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test passes nothing: where CI has installed what tests need, it fails the run."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and terminal and terminal.stats.get("skipped"):
        terminal.write_line("FAILED: tests were skipped, and CI is set", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def programs() -> Path:
    """Cruft and Cookiecutter from the project's own lock, as bootstrap.py installs them.

    They outlive the session in a folder keyed by the locks.
    """
    locks = [PROJECT_SOURCE / "requirements" / name for name in ("update.txt", "bootstrap.txt")]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:12]
    cache = Path(tempfile.gettempdir()) / f"mlops-template-tests-{os.getuid()}" / f"update-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    project = BakedProject(cache / "customer-churn")
    with made_once(project.root) as mine:
        if mine:
            finished = cookiecutter(cache, "--overwrite-if-exists")
            assert finished.code == 0, finished.output
            finished = project.run("python3", "bootstrap.py", "update", timeout=600)
            assert finished.code == 0, finished.output
    return project.root / ".venv-update" / "bin"


@pytest.fixture
def shell(programs: Path, tmp_path: Path) -> Shell:
    """A new user's shell in an empty folder; its path has a space and accents."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n"
    )
    folder = tmp_path / "un été à Paris"
    folder.mkdir()
    return Shell(folder, programs, clean_environment(HOME=str(home), PWD=str(folder)))


@pytest.fixture
def template(shell: Shell, tmp_path: Path) -> Shell:
    """A shell in a repository of the template's own, with the files of this tree in one commit."""
    folder = tmp_path / "modèle de projet" / "mlops-template"
    shutil.copytree(template_files(), folder)
    inside = shell.at(folder)
    inside.git("init", "--quiet")
    inside.commit("First version")
    return inside


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded: scores, baselines, seconds."""
    figures = [
        str(value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in report.user_properties
        if name == "figure" and report.when == "call"
    ]
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.write_line(figure)
