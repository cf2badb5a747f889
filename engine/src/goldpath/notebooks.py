"""What a notebook or a script asks of a project: frames of its lake, and its champion.

`Project.frame` and `Project.champion` are the way here. Each call reads the settings of the project
around the current folder, as a command would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from goldpath.contract import EVENT_TIME, Contract, load_contract
from goldpath.errors import ProjectError
from goldpath.features.learned import learned_contract
from goldpath.jobs.data.frames import table_rows
from goldpath.jobs.data.versions import CURRENT
from goldpath.jobs.windows.model_windows import frame_with_windows, table_with_windows
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse
from goldpath.learning.decision.fields import fields_of
from goldpath.model_version import ModelVersion
from goldpath.project import Project
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.row_contract import RowContract
from goldpath.settings import Settings, load_settings
from goldpath.source_contract import load_sources

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Form: TypeAlias = Literal["pandas", "arrow"]
FORMS: tuple[Form, ...] = ("pandas", "arrow")

EVEN = 0.5
"""From two classes the more probable one is chosen."""


class NotebookError(ProjectError):
    """What is asked for is not there in this form."""


@dataclass(frozen=True)
class Champion:
    """The model that serves, as the batch inference uses it.

    Attributes:
        version: The version in the registry, with its tags and its run.
        contract: The contract that it was trained with, its row features included.
        threshold: The positive class is predicted where its probability is above this; None where
            there are not two classes.
    """

    version: ModelVersion
    contract: Contract
    threshold: float | None
    _model: Any = field(repr=False)
    _lakehouse: "Lakehouse | None" = field(default=None, repr=False)

    def predict(
        self, rows: "pd.DataFrame | pa.Table | Sequence[Mapping[str, Any]]"
    ) -> "pd.DataFrame":
        """Predict rows as `batch-predict` does.

        Args:
            rows: With the columns of a request, typed as silver and gold have them. Row features
                are computed, by the version's own definitions, also where the rows have them. So
                are window features, from the sources in the lake, of each row's entity up to its
                event time.

        Returns:
            `prediction` and `score`, which mean what they mean in the predictions table, a row for
            each; with the index of a frame that was given. Of a version with a threshold there are
            `decision` and `threshold`, too; of one with intervals `lower`, `upper` and `interval`.

        Raises:
            NotebookError: If a column that a request sends is missing, or a value has another type;
                or if entity or event time is missing, where the version has window features.
        """
        import pandas as pd

        require_columns(rows, self.contract.request, f"version {self.version.version}")
        found = self._model.predict(self._with_windows(rows))
        index = rows.index if isinstance(rows, pd.DataFrame) else None
        beside = fields_of(self.contract)
        shown = beside.of_rows(found.values, found.scores, found.lines)
        columns = dict(zip(beside.names, shown, strict=True))
        return pd.DataFrame(
            {"prediction": found.values, "score": found.scores, **columns}, index=index
        )

    def _with_windows(self, rows: Any) -> Any:
        """The rows with the version's window columns."""
        if not self.contract.window_features or self._lakehouse is None:
            return rows
        import pandas as pd

        table = pd.DataFrame([*rows]) if isinstance(rows, Sequence) else rows
        names = table.columns if isinstance(table, pd.DataFrame) else table.column_names
        who = [self.contract.entity_column, EVENT_TIME]
        if missing := [name for name in who if name not in names]:
            raise NotebookError(
                f"the rows lack {' and '.join(missing)}, and version {self.version.version} takes "
                "what the sources say of an entity at a time",
                'give rows of silver or gold: project.frame("gold")',
            )
        if isinstance(table, pd.DataFrame):
            return frame_with_windows(self._lakehouse, table, self.contract)
        return table_with_windows(self._lakehouse, table, self.contract)


def read_frame(
    project: Project, table: str, form: str, limit: int | None, snapshot: int | str | None
) -> Any:
    """The rows of a table; see `Project.frame`."""
    settings, contract = _around(project)
    asked = CURRENT if snapshot is None else snapshot
    return _rows(settings, contract, table, form, limit, asked)


def read_source(project: Project, name: str, form: str, limit: int | None) -> Any:
    """The checked rows of a further source; see `Project.source`."""
    settings, contract = _around(project)
    sources = {each.dataset: each for each in load_sources(settings.root, contract.base)}
    if name not in sources:
        raise NotebookError(
            f"there is no source {name!r}; config/sources holds: {', '.join(sources) or 'none'}",
            'make add-source NAME=… DATA=… ID=… TIME=…; the main table is project.frame("silver")',
        )
    return _rows(settings, sources[name], "silver", form, limit, CURRENT)


def load_champion(project: Project) -> Champion:
    """The champion; see `Project.champion`."""
    settings, contract = _around(project)
    manager = MLflowManager(settings, contract)
    version = manager.champion_version()
    if version is None:
        raise RegistryError(f"{contract.model_name} has no champion yet", "make train-local")
    model = manager.load_for_serving(version)
    threshold = model.contract.decision_threshold
    if threshold is None and model.contract.is_binary:
        threshold = EVEN
    lakehouse = open_lakehouse(settings) if model.contract.window_features else None
    return Champion(version, model.contract, threshold, model, lakehouse)


def _around(project: Project) -> tuple[Settings, Contract]:
    settings = load_settings(project=project)
    return settings, learned_contract(settings, load_contract(settings.root))


def _rows(
    settings: Settings,
    contract: RowContract,
    table: str,
    form: str,
    limit: int | None,
    snapshot: int | str,
) -> Any:
    if form not in FORMS:
        raise NotebookError(
            f"as_={form!r} is no form of a table", f"give one of {', '.join(FORMS)}"
        )
    lakehouse = open_lakehouse(settings)
    found = lakehouse.collect(table_rows(lakehouse, contract, table, limit, snapshot))
    return found.to_pandas() if form == "pandas" else found


def require_columns(rows: Any, contract: Contract, reader: str) -> None:
    """Insist that rows have every column, with values of its type.

    A model takes what it does not know for missing, so the number 3 where a category has texts
    (as `pd.read_csv` reads it) would change predictions without a word.

    Args:
        rows: A frame, an Arrow table or mappings.
        contract: What a request sends.
        reader: Who reads the rows, for messages.

    Raises:
        NotebookError: If a column is missing, or a value has another type; names both.
    """
    import pandas as pd

    if isinstance(rows, Sequence):
        names = [each for each in contract.feature_names if all(each in row for row in rows)]
    else:
        names = list(rows.columns if isinstance(rows, pd.DataFrame) else rows.column_names)
    if missing := [name for name in contract.feature_names if name not in names]:
        raise NotebookError(
            f"the rows lack {', '.join(missing)}, which {reader} reads",
            'give rows of silver or gold: project.frame("gold")',
        )
    for feature in contract.features:
        if isinstance(rows, Sequence):
            column = pd.Series([row[feature.name] for row in rows], dtype=object)
        elif isinstance(rows, pd.DataFrame):
            column = rows[feature.name]
        else:
            column = rows[feature.name].to_pandas()
        known = column.dropna()
        values = known.astype(known.cat.categories.dtype) if known.dtype == "category" else known
        kind = pd.api.types.infer_dtype(values, skipna=True)
        if len(values) and kind not in (_NUMBERS if feature.is_numeric else _TEXTS):
            wanted = "numbers" if feature.is_numeric else "texts"
            raise NotebookError(
                f"{feature.name} holds {values.iloc[0]!r} ({kind}), and {reader} reads {wanted}",
                'give typed rows, as project.frame("gold") has them; a file is scored by '
                "batch-predict, which reads it by the contract",
            )


_TEXTS = frozenset({"string", "empty"})
_NUMBERS = frozenset({"integer", "floating", "mixed-integer-float", "boolean", "decimal", "empty"})
"""What pandas calls them."""
