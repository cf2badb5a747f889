"""What commands write of rows and models, only their user may read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldpath.cli import app as door
from goldpath.settings import Settings


@pytest.fixture(autouse=True)
def usual_mask() -> Iterator[None]:
    """Of most systems: everybody may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mask() -> int:
    now = os.umask(0o022)
    os.umask(now)
    return now


def test_files_of_a_command_are_its_users_own(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(project.root))

    with pytest.raises(SystemExit) as ended:
        door.run(arguments=["sample", "--rows", "100", "--output", "made/deep/rows.csv"])

    assert ended.value.code in (0, None)
    made = project.root / "made"
    assert mode(made) == mode(made / "deep") == 0o700
    assert mode(made / "deep" / "rows.csv") == 0o600
    assert mask() == 0o022, "the caller's own is given back"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["data"], 0o077),
        (["train", "--promote"], 0o077),
        (["serve"], 0o077),
        (["registry", "backup"], 0o077),
        (["adopt"], 0o022),
        (["migrate"], 0o022),
        ([], 0o077),
    ],
)
def test_what_goes_into_git_stays_readable(
    monkeypatch: pytest.MonkeyPatch, command: list[str], expected: int
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(door, "app", lambda _: seen.append(mask()))

    with pytest.raises(SystemExit):
        door.run(arguments=command)

    assert seen == [expected]
    assert mask() == 0o022


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
