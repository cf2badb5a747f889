"""Where users and keys are kept: in the database that is named, or in a file of the project."""

from pathlib import Path

from goldpath.settings import Settings


def store_file(settings: Settings) -> Path:
    """Where users and keys are kept where no database is named."""
    return settings.root / settings.access.store_file


def has_store(settings: Settings) -> bool:
    """Whether a database is named, or somebody has made the file."""
    return bool(settings.access.store.get_secret_value()) or store_file(settings).exists()
