"""The Dockerfiles, without Docker: what they copy, what they install, and what they then run."""

import re
import sys
from pathlib import Path

import pytest
from conftest import TEMPLATE, BakedProject, run

COPY = re.compile(r"^COPY (?!--from)(.+) (\S+)$", re.MULTILINE)
INSTALL = re.compile(r"pip install (.*?)-r /tmp/requirements/(\S+)")
MODULE = re.compile(r'-m[ ",]+(goldpath[\w.]+)')


def dockerfiles(project: BakedProject) -> dict[str, str]:
    """The text of each Dockerfile, by the image's name."""
    files = (project.root / "infra" / "docker").glob("*.Dockerfile")
    return {file.name.removesuffix(".Dockerfile"): file.read_text("utf-8") for file in files}


def test_images_install_only_what_a_lock_says(default_project: BakedProject) -> None:
    for image, text in dockerfiles(default_project).items():
        installs = INSTALL.findall(text)
        copied = [
            Path(source).name
            for sources, target in COPY.findall(text)
            for source in sources.split()
            if target == "/tmp/requirements/"  # noqa: S108  a folder of the image
        ]
        assert len(installs) == len(re.findall(r"\bpip install\b", text)) > 0, image
        assert sorted(name for _, name in installs) == sorted(copied), image
        assert all("--require-hashes" in options for options, _ in installs), image
        for options, name in installs:
            wanted = "--no-deps" if name == "engine.txt" else "--only-binary :all:"
            assert wanted in options, f"{image}: {name}"


def test_images_find_the_wheel_where_its_lock_says(default_project: BakedProject) -> None:
    """requirements/engine.txt names ../vendor, so both are copied beside each other."""
    with_engine = {"api", "airflow"}
    for image, text in dockerfiles(default_project).items():
        copies = COPY.findall(text)
        engine = ("requirements/engine.txt", "/tmp/requirements/") in copies  # noqa: S108
        vendor = ("vendor", "/tmp/vendor") in copies  # noqa: S108
        assert (engine, vendor) == (image in with_engine,) * 2, image
        assert ("pip check" in text) == engine, image


def test_what_images_copy_exists_and_is_not_ignored(default_project: BakedProject) -> None:
    ignored = default_project.read(".dockerignore").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    kept = [line[1:] for line in rules if line.startswith("!")]
    assert rules[0] == "*"
    for text in dockerfiles(default_project).values():
        for sources, _ in COPY.findall(text):
            for pattern in sources.split():
                source = re.sub(r"[][]", "", pattern)  # model[s] is copied where it is there
                assert any(Path(source).is_relative_to(folder) for folder in kept), source
                assert pattern != source or (default_project.root / source).exists(), source


def test_modules_that_images_run_exist(default_project: BakedProject) -> None:
    modules = {
        name for text in dockerfiles(default_project).values() for name in MODULE.findall(text)
    }
    assert len(modules) == 2
    for module in modules:
        file = TEMPLATE / "engine" / "src" / f"{module.replace('.', '/')}.py"
        assert "__main__" in file.read_text(encoding="utf-8"), module


@pytest.mark.slow
@pytest.mark.parametrize("lock", ["serving", "monitoring"])
def test_an_image_lock_and_the_wheel_make_a_whole_environment(
    default_project: BakedProject, tmp_path: Path, lock: str
) -> None:
    """What the Dockerfile's pip does, by uv; then the step that needs the engine alone."""
    uv = Path(sys.executable).with_name("uv")
    python = tmp_path / "environment" / "bin" / "python"
    here = ("--quiet", "--python", python, "--require-hashes", "--only-binary", ":all:")
    requirements = default_project.root / "requirements"
    for command in (
        (sys.executable, "-m", "venv", "--without-pip", tmp_path / "environment"),
        (uv, "pip", "sync", *here, requirements / f"{lock}.txt"),
        (uv, "pip", "install", *here, "--no-deps", "--requirement", requirements / "engine.txt"),
        (uv, "pip", "check", "--python", python),
        (python, "-m", "goldpath.compiled.native", tmp_path / "kernels"),
    ):
        environment = default_project.environment
        finished = run(*command, cwd=tmp_path, timeout=600, env=environment)
        assert finished.code == 0, finished.output
    assert list((tmp_path / "kernels").iterdir())
