"""What a version records of the environment that made it."""

from importlib.metadata import version

from goldpath.jobs.training.inputs import library_versions, lock_text
from goldpath.settings import Settings


def test_the_engine_is_recorded_like_any_library() -> None:
    assert library_versions()["goldpath"] == version("goldpath")


def test_locks_hold_the_engines_line_and_may_be_absent(project: Settings) -> None:
    folder = project.root / "requirements"
    assert lock_text(project) == ""
    folder.mkdir()
    (folder / "dev.txt").write_text("numpy==2\n")
    (folder / "engine.txt").write_text("goldpath==1 --hash=sha256:00\n")
    (folder / "airflow.txt").write_text("apache-airflow==3\n")
    assert lock_text(project) == "numpy==2\ngoldpath==1 --hash=sha256:00\n"
