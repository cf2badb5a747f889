"""`make template-update`: a newer template arrives, edits survive, a conflict is called one."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT_SOURCE, TEMPLATE, BakedProject, Finished, Shell
from goldpath.services import vendored_engine as wheels
from template_sources import BAKES, FOLDER, PACKAGE, bake_from_address, bare

import vendor_engine

pytestmark = pytest.mark.slow

# Where the first state of the template with an engine was landed.
FIRST_LANDED = (TEMPLATE / "tests" / "first_landed_commit.txt").read_text().strip()


OWN_FEATURES = '''"""Ours."""

from goldpath import Row, Value, row_feature


@row_feature
def is_new(row: Row) -> Value:
    return row.tenure_months < 6
'''


def settle(project: Shell, installed: BakedProject, programs: Path) -> Shell:
    """Lend a project the environments of others, and let it run its own code and engine."""
    (project.folder / ".git" / "info" / "exclude").write_text(".venv*\n")
    for name in (".venv", ".venv-uv"):
        (project.folder / name).symlink_to(installed.root / name)
    (project.folder / ".venv-update").symlink_to(programs.parent)
    return with_engine(project)


def with_engine(project: Shell) -> Shell:
    """The shell, with the engine that is vendored now instead of the installed one."""
    wheel = wheels.vendored_wheel(project.folder)
    engine = project.folder.parent / wheel.name.removesuffix(".whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(engine)
    path = f"{engine}:{project.folder / 'src'}"
    return Shell(project.folder, project.programs, {**project.environment, "PYTHONPATH": path})


def python(project: Shell, *arguments: str, code: int | None = 0) -> Finished:
    """Run the project's Python."""
    return project(project.folder / ".venv" / "bin" / "python", *arguments, code=code)


def edit(shell: Shell, name: str, old: str, new: str) -> None:
    """Replace a text that occurs once."""
    file = shell.folder / name
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{name} has {text.count(old)} times {old!r}"
    file.write_text(text.replace(old, new), encoding="utf-8")


def release(template: Shell) -> str:
    """Commit a newer version of the template with a newer engine; returns the version."""
    engine, project = template.folder / "engine", template.folder / PROJECT_SOURCE.name
    version = vendor_engine.next_version(wheels.project_version(engine))
    wheels.set_project_version(engine, version)
    wheels.install_wheel(project, wheels.build_wheel(engine, template.folder.parent))
    answers = json.loads((template.folder / "cookiecutter.json").read_text(encoding="utf-8"))
    old = f'"_template_version": "{answers["_template_version"]}"'
    edit(template, "cookiecutter.json", old, f'"_template_version": "{version}"')
    template.commit(f"Version {version}")
    bare(template)
    return version


def test_update_keeps_edits_and_calls_a_conflict_one(
    shell: Shell, template: Shell, installed: BakedProject, programs: Path
) -> None:
    bake_from_address(shell, template)
    project = settle(shell.at(shell.folder / FOLDER), installed, programs)
    edit(project, "config/training.yaml", "trials: 12 ", "trials: 20 ")
    edit(project, "config/serving.yaml", "port: 8000", "port: 8123")
    guide = project.folder / "infra" / "README.md"
    guide.write_text("Ours runs in Lyon.\n\n" + guide.read_text(encoding="utf-8"))
    own = project.folder / "src" / PACKAGE / "opening_hours.py"
    own.write_text('"""A module of our own."""\n')
    project.git("rm", "--quiet", "config/model_card.yaml")

    dirty = project("make", "template-update", code=2)
    assert "changes that are not committed" in dirty.output
    project.commit("Our own edits")
    assert "Nothing to do" in project("make", "template-update").output

    source = template.folder / PROJECT_SOURCE.name
    inside = template.at(source)
    edit(inside, "config/training.yaml", "cv_folds: 3", "cv_folds: 4")
    edit(inside, "config/serving.yaml", "port: 8000", "port: 8001")
    edit(inside, "config/model_card.yaml", "tags: []", "tags: [new]")
    inside.git("mv", "infra/README.md", "infra/GUIDE.md")
    with (source / "infra" / "GUIDE.md").open("a") as file:
        file.write("\nSecond version.\n")
    version = release(template)

    updated = project("make", "template-update", code=2)
    assert "Error 1" in updated.output
    assert "Conflicts: finish 1 by hand." in updated.output
    assert "config/serving.yaml: choose between the marked lines" in updated.output
    assert "R infra/README.md -> infra/GUIDE.md" in updated.output
    assert re.search(r"not in this project any more:\s+config/model_card.yaml", updated.output)
    assert "Next: make setup, make migrate, make describe, make test" in updated.output
    serving = (project.folder / "config" / "serving.yaml").read_text()
    assert all(text in serving for text in ("<<<<<<<", "port: 8123", "port: 8001", ">>>>>>>"))
    training = yaml.safe_load((project.folder / "config" / "training.yaml").read_text())
    assert (training["trials"], training["cv_folds"]) == (20, 4)
    guide = (project.folder / "infra" / "GUIDE.md").read_text()
    assert guide.startswith("Ours runs in Lyon.\n")
    assert guide.endswith("\nSecond version.\n")
    assert own.exists()
    assert not (project.folder / "config" / "model_card.yaml").exists()
    assert wheels.wheel_version(wheels.vendored_wheel(project.folder)) == version

    project.git("checkout", "--quiet", "--theirs", "config/serving.yaml")
    project.commit("A newer template")
    project = with_engine(project)
    found = python(
        project, "-c", "from importlib.metadata import version as v; print(v('goldpath'))"
    )
    assert found.output.strip() == version
    assert "template-update" in python(project, "-m", PACKAGE, "--help").output
    python(project, "-m", PACKAGE, "check")
    python(project, "-m", PACKAGE, "migrate", "--dry-run")

    # The edited and renamed file changes again: cruft by itself has no base to merge it with.
    edit(inside, "infra/GUIDE.md", "Second version.", "Third version.")
    release(template)
    assert "Conflicts" not in project("make", "template-update").output
    guide = (project.folder / "infra" / "GUIDE.md").read_text()
    assert guide.startswith("Ours runs in Lyon.\n")
    assert guide.endswith("\nThird version.\n")


@pytest.mark.parametrize("source", BAKES)
def test_project_of_every_source_is_updated(
    shell: Shell, template: Shell, installed: BakedProject, programs: Path, source: str
) -> None:
    BAKES[source](shell, template)
    project = settle(shell.at(shell.folder / FOLDER), installed, programs)
    first = template.git("rev-parse", "HEAD")
    edit(template, f"{PROJECT_SOURCE.name}/config/training.yaml", "cv_folds: 3", "cv_folds: 4")
    release(template)
    address = []
    if source in ("archive", "plain-zip"):
        refused = project("make", "template-update", code=2)
        assert "is an archive" in refused.output
        assert "make template-update TEMPLATE=ADDRESS" in refused.output
        address = [f"TEMPLATE={template.folder}"]
    project("make", "template-update", *address)
    assert "cv_folds: 4" in (project.folder / "config" / "training.yaml").read_text()
    record = json.loads((project.folder / ".cruft.json").read_text())
    assert record["commit"] == template.git("rev-parse", "HEAD")
    committed = json.loads(project.git("show", "HEAD:.cruft.json"))
    assert committed["commit"] == first, "the commit that the project was baked from"
    assert record["template"] == committed["template"]
    assert not record["template"].endswith(".zip")


def test_patched_engine_is_never_dropped_silently(
    shell: Shell, template: Shell, installed: BakedProject, programs: Path, tmp_path: Path
) -> None:
    bake_from_address(shell, template)
    project = settle(shell.at(shell.folder / FOLDER), installed, programs)
    patched = tmp_path / "engine"
    shutil.copytree(template.folder / "engine", patched)
    wheels.set_project_version(patched, f"{wheels.project_version(patched)}+local.1")
    wheels.install_wheel(project.folder, wheels.build_wheel(patched, tmp_path))
    project.commit("Patch the engine")
    version = release(template)

    refused = project("make", "template-update", code=2)
    assert "the engine is patched" in refused.output
    assert project.git("status", "--porcelain") == ""
    project("make", "template-update", "ARGS=--drop-patch")
    assert wheels.wheel_version(wheels.vendored_wheel(project.folder)) == version
    lock = (project.folder / "requirements" / "engine.txt").read_text()
    assert lock == wheels.engine_lock(wheels.vendored_wheel(project.folder))
    assert project.git("log", "--format=%s").splitlines() == [
        "Put the released engine back",
        "Patch the engine",
        "Generate the project",
    ]


def test_project_of_the_first_landed_state_reaches_this_one(
    shell: Shell, template: Shell, installed: BakedProject, programs: Path, tmp_path: Path
) -> None:
    """Baked as the first users baked it, with that day's hooks, engine and command line."""
    history = shell.at(tmp_path / "history")
    shell.git("clone", "--quiet", "--no-local", TEMPLATE, history.folder)
    shell.git("-C", history.folder, "checkout", "--quiet", "-B", "main", FIRST_LANDED)
    bake_from_address(shell, history)
    project = settle(shell.at(shell.folder / FOLDER), installed, programs)
    edit(project, "config/training.yaml", "trials: 12 ", "trials: 20 ")
    features = f"src/{PACKAGE}/features"  # a package that the template did not have by then
    (project.folder / features).mkdir()
    (project.folder / features / "__init__.py").write_text('"""Ours."""\n')
    (project.folder / features / "customers.py").write_text(OWN_FEATURES)
    project.commit("Our own edit")
    for entry in history.folder.iterdir():
        if entry.name != ".git":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(
        template.folder,
        history.folder,
        dirs_exist_ok=True,
        ignore=lambda folder, _: [".git"] if Path(folder) == template.folder else [],
    )
    history.commit("This tree")
    bare(history)

    updated = project("make", "template-update", code=None)
    assert "Template: " in updated.output, updated.output
    for name in ("__init__.py", "customers.py"):
        assert f"{features}/{name}: choose between the marked lines" in updated.output
        assert "Ours." in (project.folder / features / name).read_text()
        project.git("checkout", "--quiet", "--theirs", f"{features}/{name}")
    project = with_engine(project)
    python(project, "-m", PACKAGE, "migrate", "--apply")
    assert python(project, "-m", PACKAGE, "migrate").output.startswith("Nothing to do")
    assert "trials: 20 " in (project.folder / "config" / "training.yaml").read_text()
    python(project, "-m", PACKAGE, "check")
