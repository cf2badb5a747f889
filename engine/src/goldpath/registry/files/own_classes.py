"""The project's own classes in a version: which they are, and the files of a foreign model.

`stored.json` lies beside the pipeline and is signed with it. It names the engine, the project and
each class by its stored name, so that a version is read after a class was moved or renamed.
"""

import io
import json
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.handed_over import ProjectDefinitionError, place_of_class
from goldpath.learning.stored import StoredClass, stored_classes
from goldpath.project import ENGINE, naming, running_project
from goldpath.registry.stores.store import RegistryError
from goldpath.trust.manifest import model_files
from goldpath.trust.pickle_scan import find_pickle

if TYPE_CHECKING:
    from goldpath.learning.foreign import ForeignModel

STORED_FILE = "stored.json"
OWN_FOLDER = "own"
FORMAT = 1


@dataclass(frozen=True)
class StoredAs:
    """A class as a version knows it.

    Attributes:
        path: Where it was, `module.Class`.
        version: Of the form in which it was saved.
    """

    path: str
    version: str


@dataclass(frozen=True)
class OwnClasses:
    """What a version's `stored.json` says.

    Attributes:
        engine: The engine's version.
        project: The project's name.
        project_version: As its `pyproject.toml` states it.
        foreign: The stored name of the model that saved itself; empty where skops stored all.
        classes: The project's classes by their stored names.
    """

    engine: str
    project: str
    project_version: str
    foreign: str = ""
    classes: Mapping[str, StoredAs] = field(default_factory=dict)

    @property
    def spoken(self) -> str:
        """The classes for people: `network 1 (shop.model.Network)`."""
        return ", ".join(
            f"{name} {each.version} ({each.path})" for name, each in self.classes.items()
        )


def write_own_classes(pipeline: Any, folder: Path, root: Path) -> OwnClasses:
    """Save a fitted pipeline's foreign model below a model's folder, and say what classes it holds.

    Args:
        pipeline: The fitted pipeline.
        folder: The model's folder, before it is signed.
        root: The project's folder.

    Raises:
        ProjectDefinitionError: If `save` fails, writes nothing, or writes a pickle.
    """
    from goldpath.learning.foreign import foreign_part

    part = foreign_part(pipeline)
    if part is not None:
        save_foreign(part, folder / OWN_FOLDER)
    described = OwnClasses(
        engine=_installed(ENGINE),
        project=running_project().name,
        project_version=_project_version(root),
        foreign=part.stored_class.name if part is not None else "",
        classes=_classes_in(pipeline, part),
    )
    text = json.dumps({"format": FORMAT, **asdict(described)}, indent=1, ensure_ascii=False)
    (folder / STORED_FILE).write_text(text + "\n", encoding="utf-8")
    return described


def read_own_classes(folder: Path) -> OwnClasses | None:
    """What a verified folder's `stored.json` says; None where an older engine wrote none.

    Raises:
        RegistryError: If it is of another format.
    """
    file = folder / STORED_FILE
    if not file.is_file():
        return None
    values = json.loads(file.read_text(encoding="utf-8"))
    if values.pop("format", None) != FORMAT:
        raise RegistryError(
            f"{STORED_FILE} of the version is of another format than {FORMAT}",
            "it was stored by a newer engine: use that one, or train again",
        )
    classes = {name: StoredAs(**each) for name, each in values.pop("classes").items()}
    return OwnClasses(**values, classes=classes)


def save_foreign(part: "ForeignModel", folder: Path) -> None:
    """Let a foreign model save itself into an empty folder.

    Raises:
        ProjectDefinitionError: If it fails, writes nothing, or writes a pickle.
    """
    kind = part.stored_class.kind
    folder.mkdir(parents=True)
    with naming(kind.save):  # type: ignore[attr-defined]
        part.fitted_.save(folder)
    files = list(model_files(folder))
    if not files:
        raise ProjectDefinitionError(
            f"{place_of_class(kind)}: save wrote no file", "write everything below `folder`"
        )
    for name, file in files:
        if why := find_pickle(file, name):
            raise ProjectDefinitionError(
                f"{place_of_class(kind)}: save wrote {name}, which carries a pickle: {why}",
                "write numbers and text: numpy.savez without objects, JSON, safetensors",
            )


def load_foreign(name: str, known: OwnClasses, folder: Path, uri: str) -> Any:
    """Load a foreign model that `save_foreign` has stored.

    Raises:
        RegistryError: If its class is missing or does not read this version.
        ProjectDefinitionError: If `load` fails or gives another object.
    """
    entry = find_class(name, known, uri)
    stored_as = known.classes[name]
    if stored_as.version not in (entry.version, *entry.reads):
        raise RegistryError(
            f"{uri} holds the model {name!r} in version {stored_as.version}; "
            f"{place_of_class(entry.kind)} is of version {entry.version}",
            f'let load read both and write reads=["{stored_as.version}"] into @stored(…), or '
            "train again: make train-local",
        )
    load = entry.kind.load  # type: ignore[attr-defined]
    with naming(getattr(load, "__func__", load)):
        found = load(folder)
    if type(found) is not entry.kind:
        raise ProjectDefinitionError(
            f"{place_of_class(entry.kind)}: load gives {type(found).__name__}",
            f"return an object of {entry.kind.__name__}",
        )
    return found


def find_class(name: str, known: OwnClasses, uri: str) -> StoredClass:
    """The class of a stored name: of an imported module, or where it was when it was stored.

    Raises:
        RegistryError: If it is nowhere; says who stored it and what to do.
    """
    project = running_project()
    _ = project.families_of_all  # imports the modules that define the families
    stored_as, why = known.classes[name], ""
    module = stored_as.path.rpartition(".")[0]
    if name not in stored_classes() and module.partition(".")[0] == project.name:
        try:
            import_module(module)
        except ImportError as error:
            why = f" ({error})"
    if found := stored_classes().get(name):
        return found
    raise RegistryError(
        f"{uri} needs the class that is stored as {name!r}, and project.py imports none of that "
        f"name{why}; it was {stored_as.path}, version {stored_as.version}, of {known.project} "
        f"{known.project_version or 'without a version'} with goldpath {known.engine}",
        f'write @stored("{name}") above the class, in a module that project.py\'s function of the '
        "model imports; where it is gone, bring it back or train again: make train-local",
    )


def require_restorable(pipeline: Any, frame: Any) -> None:
    """Prove that a fitted foreign model answers alike once it was saved and loaded.

    Args:
        pipeline: A fitted pipeline; one without a foreign model passes.
        frame: Rows to ask.

    Raises:
        ProjectDefinitionError: If it cannot be stored, read again, or answers otherwise.
    """
    from goldpath.learning.foreign import foreign_part

    part = foreign_part(pipeline)
    if part is None:
        return
    entry = part.stored_class
    known = OwnClasses("", "", "", entry.name, {entry.name: StoredAs(entry.path, entry.version)})
    ask = pipeline.predict_proba if part.classify else pipeline.predict
    expected, fitted, model = np.asarray(ask(frame)), part.fitted_, part.model
    with TemporaryDirectory(prefix="own-") as folder:
        save_foreign(part, Path(folder) / OWN_FOLDER)
        loaded = load_foreign(entry.name, known, Path(folder) / OWN_FOLDER, "the model")
    try:
        part.put_back(loaded)
        found = np.asarray(ask(frame))
    finally:
        part.fitted_, part.model = fitted, model
    if not np.array_equal(found, expected, equal_nan=True):
        raise ProjectDefinitionError(
            f"{place_of_class(entry.kind)} answers otherwise once it was saved and loaded: up to "
            f"{np.max(np.abs(found - expected)):.3g} apart on {len(expected)} rows",
            "save everything that predict needs, each number with all its digits",
        )


def moved_classes(known: OwnClasses | None, uri: str) -> dict[str, str]:
    """Where the classes that skops stored are now, by where they were; only those that moved."""
    if known is None:
        return {}
    moved = {}
    for name, each in known.classes.items():
        if name != known.foreign and (found := find_class(name, known, uri)).path != each.path:
            moved[each.path] = found.path
    return moved


def with_moved_classes(file: Path, moved: Mapping[str, str]) -> bytes:
    """A skops file with other paths of classes; nothing else in it is changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(made, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            if item.filename == "schema.json":
                content = json.dumps(_renamed(json.loads(content), moved)).encode()
            target.writestr(item, content)
    return made.getvalue()


def _renamed(node: Any, moved: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_renamed(each, moved) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _renamed(value, moved) for key, value in node.items()}
    path = f"{node.get('__module__')}.{node.get('__class__')}"
    if path in moved:
        made["__module__"], _, made["__class__"] = moved[path].rpartition(".")
    return made


def _classes_in(pipeline: Any, part: "ForeignModel | None") -> dict[str, StoredAs]:
    from skops.io import dumps, get_untrusted_types

    if not stored_classes():
        return {}
    found = set(get_untrusted_types(data=dumps(pipeline)))
    return {
        name: StoredAs(each.path, each.version)
        for name, each in stored_classes().items()
        if each.path in found or (part is not None and each is part.stored_class)
    }


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _project_version(root: Path) -> str:
    try:
        found = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        return str(found["project"]["version"])
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError):
        return _installed(running_project().name) if running_project().name in sys.modules else ""
