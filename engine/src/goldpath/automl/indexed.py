"""Results with named fields that can also be read as `results["score"]`."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any


class Indexed:
    """For frozen dataclasses: what has a field is also found under its name, as in a dictionary."""

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(f"{name!r}; there is {', '.join(self.keys())}")
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """The names of the fields, so that `dict(results)` works."""
        return [field.name for field in fields(self)]  # type: ignore[arg-type]

    def items(self) -> list[tuple[str, Any]]:
        """Names and values."""
        return [(name, getattr(self, name)) for name in self.keys()]

    def get(self, name: str, default: Any = None) -> Any:
        """A field, or the default where there is none of this name."""
        return getattr(self, name) if name in self.keys() else default

    def to_dict(self) -> dict[str, Any]:
        """Everything that JSON can say; a fitted model is left out."""
        from goldpath.automl.report import plain_fields

        return plain_fields(self)
