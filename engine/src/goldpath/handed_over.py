"""Calls the functions of a project's `project.py`, and refuses what is not of the kind asked for.

`goldpath.project` names what a project consists of; this module tells a plain function from a
family, and a list from what was meant to be in one, before anything reads their attributes. What a
decorator of the engine makes names that decorator in its class attribute `MADE_BY`.
"""

import inspect
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from goldpath.errors import ProjectError

if TYPE_CHECKING:
    from goldpath.project import Model, Project
    from goldpath.serving.answers.hooks import Hooks

Part = TypeVar("Part")

FAMILY, METRIC, HOOKS = "@family(defaults={…})", "@metric", "Hooks(…)"

FUNCTIONS = ("data", "features", "service", "answer_fields", "hooks")
"""The parts of a project that are functions, beside those of `models`."""

CALLED_LATER = ("compared", "tags", "description")
"""The parts of a model that are functions of one parameter, called when the work is done."""

LISTS = ("families", "metrics", "gates", "training", "batch", "features", "answer_fields")
"""The parts of a model that are lists."""


class ProjectDefinitionError(ProjectError):
    """What a project hands over cannot be used."""


def place_of(function: Any) -> str:
    """Where a function or a class of the project stands, for messages: `file:line: name`."""
    if isinstance(function, type):
        return place_of_class(function)
    code = getattr(function, "__code__", None)
    name = getattr(function, "__name__", repr(function))
    return f"{code.co_filename}:{code.co_firstlineno}: {name}" if code else name


def failing_line(function: object, error: BaseException) -> int:
    """The line of a function's file in which it failed; 0 where its file had no part in it."""
    code, line, trace = getattr(function, "__code__", None), 0, error.__traceback__
    while trace is not None:
        if code is not None and trace.tb_frame.f_code.co_filename == code.co_filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def place_of_class(kind: type) -> str:
    """Where a class stands, for messages: `file:line: name`."""
    try:
        _, line = inspect.findsource(kind)
        return f"{inspect.getsourcefile(kind)}:{line + 1}: {kind.__name__}"
    except (OSError, TypeError):
        return f"{kind.__module__}.{kind.__qualname__}"


def handed_over(what: str, make: Callable[[], Part], kind: type[Part] | None = None) -> Part:
    """Call one of the project's functions; what is wrong in its code is named by file and line.

    Args:
        what: What it makes, for messages.
        make: The function.
        kind: The class that it must return an object of; any where not given.

    Raises:
        ProjectDefinitionError: If it raises, or returns something else.
    """
    try:
        made = make()
    except ProjectError:
        raise
    except Exception as error:
        raise ProjectDefinitionError(
            f"{_place_in_project(error)}{what} of project.py cannot be made: "
            f"{type(error).__name__}: {error}",
            "correct that line, then run: check",
        ) from error
    if kind is not None and not isinstance(made, kind):
        raise _wrong_kind(what, make, made, f"a {kind.__name__}", f"return {kind.__name__}(…)")
    return made


def handed_list(what: str, make: Callable[[], Sequence[Part]]) -> tuple[Part, ...]:
    """The same of a function that returns a list.

    Raises:
        ProjectDefinitionError: If it raises, or returns no list.
    """
    made = handed_over(what, make)
    if not _is_list(made):
        raise _wrong_kind(what, make, made, "a list", "return a list: return [first, second]")
    return tuple(made)


def handed_hooks(make: "Callable[[], Hooks | None]") -> "Hooks | None":
    """The same of the function that makes hooks, or None.

    Raises:
        ProjectDefinitionError: If it raises, or returns something else.
    """
    made = handed_over("the hooks", make)
    if made is not None and not _is_made_by(HOOKS, made):
        raise _wrong_kind("the hooks", make, made, "Hooks", f"return {HOOKS}")
    return made


def require_functions(project: "Project") -> None:
    """Insist that a project is handed functions, in the line that hands them over.

    Raises:
        TypeError: If one was called already, or is no function.
    """
    if not isinstance(project.models, Mapping):
        raise TypeError('models is no mapping: write models={"NAME": function}')
    parts = {name: getattr(project, name) for name in FUNCTIONS}
    parts |= {f"models[{name!r}]": make for name, make in project.models.items()}
    for name, part in parts.items():
        if not callable(part):
            raise TypeError(
                f"{name} is {_told(part)}, not a function: write its name without calling it"
            )


def require_parts(model: "Model", make: Callable[[], Any]) -> None:
    """Insist that each part of a model is of its kind.

    Args:
        model: What the project handed over.
        make: The function of `project.py` that made it.

    Raises:
        ProjectDefinitionError: If one is not; names file, line and fix.
    """
    for name in LISTS:
        value = getattr(model, name)
        if value is not None and not _is_list(value):
            raise _wrong_kind(f"Model({name}=…)", make, value, "a list", f"write {name}=[…]")
    if not isinstance(model.validators, Mapping):
        raise _wrong_kind(
            "Model(validators=…)",
            make,
            model.validators,
            "a mapping of names to validators",
            'write validators={"name": …}',
        )
    for name in CALLED_LATER:
        if (function := getattr(model, name)) is not None:
            _require_one_parameter(function, f"Model({name}=…)")
    _require_each(model.families, "families", FAMILY)
    _require_each([*model.metrics, *filter(None, [model.metric])], "metrics", METRIC)


def require_plain(function: Any, what: str, name: str | None = None) -> None:
    """Insist that a call of a function gives its answer.

    Args:
        function: What a decorator is above of, or a list names.
        what: What it is to become, for messages.
        name: The name that it was given; without one a lambda has none that a report could show.

    Raises:
        ProjectDefinitionError: If it is a class, an async function, a generator or a lambda without
            a name.
    """
    if isinstance(function, type):
        kind, fix = "a class", "write a function with def"
    elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        kind, fix = "an async function", "write it with def, not async def"
    elif inspect.isgeneratorfunction(function):
        kind, fix = "a generator", "return the value: write return, not yield"
    elif name is None and getattr(function, "__name__", "") == "<lambda>":
        kind, fix = "a lambda, which has no name", "write it as a function with def NAME(…)"
    else:
        return
    raise ProjectDefinitionError(f"{place_of(function)}: {what} cannot be {kind}", fix)


def _require_each(parts: Sequence[object], name: str, decorator: str) -> None:
    for each in parts:
        if _is_made_by(decorator, each):
            continue
        raise ProjectDefinitionError(
            f"{place_of(each)} among the {name} is {_told(each)}",
            f"name the engine's own in config/training.yaml; here stand functions with {decorator}"
            if isinstance(each, str)
            else f"decorate the function with {decorator}",
        )


def _require_one_parameter(function: Any, what: str) -> None:
    fix = "hand over a function of one parameter, without calling it"
    if not callable(function):
        raise ProjectDefinitionError(f"{what} of project.py is {_told(function)}", fix)
    require_plain(function, what, name="")
    try:
        inspect.signature(function).bind("given")
    except TypeError as error:
        raise ProjectDefinitionError(
            f"{place_of(function)} cannot be {what} of project.py: {error}", fix
        ) from error


def _wrong_kind(what: str, make: Any, made: object, wanted: str, fix: str) -> ProjectError:
    if inspect.iscoroutine(made):
        made.close()  # or Python warns that nobody awaited it
        fix = "write the function with def, not async def"
    return ProjectDefinitionError(
        f"{place_of(make)}: {what} of project.py is {_told(made)}, not {wanted}", fix
    )


def _is_made_by(what: str, value: object) -> bool:
    return getattr(type(value), "MADE_BY", "") == what


def _told(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _place_in_project(error: Exception) -> str:
    """The last line of people's own code that an error passed; the engine's is none to correct."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    paths = sysconfig.get_paths()
    others = (Path(__file__).parent, *(Path(paths[name]) for name in ("stdlib", "purelib")))
    own = [
        frame
        for frame in frames
        if not frame.filename.startswith("<")  # what dataclasses write
        and not any(Path(frame.filename).is_relative_to(other) for other in others)
    ]
    # An installed project stands among the libraries.
    chosen = (own or frames)[-1:]
    return "".join(f"{frame.filename}:{frame.lineno}: " for frame in chosen)
