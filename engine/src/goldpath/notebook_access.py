"""What `Project` answers in a notebook; the work is done in `notebooks`, far above."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from goldpath.notebooks import Champion


class NotebookAccess:
    """Frames of the lake and the champion, in a line each."""

    @overload
    def frame(
        self,
        table: str = ...,
        *,
        as_: Literal["pandas"] = ...,
        limit: int | None = ...,
        snapshot: int | str | None = ...,
    ) -> "pd.DataFrame": ...
    @overload
    def frame(
        self,
        table: str = ...,
        *,
        as_: Literal["arrow"],
        limit: int | None = ...,
        snapshot: int | str | None = ...,
    ) -> "pa.Table": ...
    def frame(
        self,
        table: str = "gold",
        *,
        as_: str = "pandas",
        limit: int | None = None,
        snapshot: int | str | None = None,
    ) -> Any:
        """Rows of the lake, for notebooks and scripts in the project's folder or below it.

        Args:
            table: A layer (`gold`, `silver`, `bronze`, `quarantine`, `predictions`), or
                `layer.table`.
            as_: `pandas` or `arrow`. `open_lakehouse` gives tables as expressions.
            limit: The first so many rows, by time and entity; all where not given.
            snapshot: A snapshot's number, `previous`, or `run:<training run>`; what the table holds
                now where not given.

        Raises:
            SettingsError: If there is no project around the current folder.
            LakehouseError: If there is no such table or snapshot; names those that exist.

        Example:
            >>> from goldpath import Project
            >>> project = Project(name="customer_churn")
            >>> gold = project.frame("gold", limit=100)
            >>> len(gold), "churned" in gold
            (100, True)
            >>> project.frame("quarantine", as_="arrow", limit=1).column("_reasons").to_pylist()
            ["tenure_months: '-4' is below 0"]
        """
        return _notebooks().read_frame(self, table, as_, limit, snapshot)

    @overload
    def source(
        self, name: str, *, as_: Literal["pandas"] = ..., limit: int | None = ...
    ) -> "pd.DataFrame": ...
    @overload
    def source(
        self, name: str, *, as_: Literal["arrow"], limit: int | None = ...
    ) -> "pa.Table": ...
    def source(self, name: str, *, as_: str = "pandas", limit: int | None = None) -> Any:
        """Rows of a further source (`config/sources/NAME.yaml`) that fulfil its contract.

        Args:
            name: The source's name, such as `payments`.
            as_: `pandas` or `arrow`.
            limit: The first so many rows, by time and entity; all where not given.

        Raises:
            NotebookError: If there is no such source; names those that exist.
            LakehouseError: If its table was not made yet.
        """
        return _notebooks().read_source(self, name, as_, limit)

    def champion(self) -> "Champion":
        """The champion, for notebooks and scripts: it predicts as the batch inference does.

        Raises:
            SettingsError: If there is no project around the current folder.
            RegistryError: If there is no champion yet.

        Example:
            >>> from goldpath import Project
            >>> project = Project(name="customer_churn")
            >>> champion = project.champion()
            >>> champion.version.version, champion.threshold, champion.contract.dataset
            ('1', 0.5, 'customer_churn')
            >>> list(champion.predict(project.frame("gold", limit=3)))
            ['prediction', 'score']
        """
        found: Champion = _notebooks().load_champion(self)
        return found


def _notebooks() -> Any:
    """By name: it stands on the highest floor, and the ground imports nothing heavy."""
    return import_module("goldpath.notebooks")
