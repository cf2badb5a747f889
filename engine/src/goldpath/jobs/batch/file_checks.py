"""What cannot be scored from Parquet to Parquet, said before the first row is read."""

from pathlib import Path

from goldpath.settings import Settings
from goldpath.sources.files import SourceError, is_parquet


def require_usable(files: list[Path], out: Path, settings: Settings) -> None:
    """Refuse what is not Parquet, and a file that would be written over itself.

    Raises:
        SourceError: If there is one.
    """
    for file in files:
        if not is_parquet(file):
            raise SourceError(
                f"{settings.shown(file)} is not Parquet; --out writes Parquet from Parquet",
                "convert it, or leave --out away: then CSV and JSON lines are read, too",
            )
        if out.resolve() == file.resolve():
            raise SourceError(
                f"{settings.shown(out)} is the file that is scored", "give --out another name"
            )
