"""The project files that the engine's tests read are a bake's own."""

from conftest import BakedProject

import engine_project


def test_copies_for_the_engines_tests_equal_a_bake(default_project: BakedProject) -> None:
    baked = engine_project.files(default_project.root)
    copied = engine_project.files(engine_project.TARGET)
    different = [
        name
        for name in set(baked) & set(copied)
        if (default_project.root / name).read_bytes() != (engine_project.TARGET / name).read_bytes()
    ]
    assert len(baked) > 20
    assert sorted(set(baked) ^ set(copied)) + sorted(different) == [], "run: make engine-project"
    everything = {
        path.relative_to(engine_project.TARGET).as_posix()
        for path in engine_project.TARGET.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert everything == set(copied)
