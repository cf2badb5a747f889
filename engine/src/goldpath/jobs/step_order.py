"""The steps of a recipe: the engine's own in their order, and a project's between them."""

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

from goldpath.handed_over import ProjectDefinitionError, place_of, require_plain

Step = Callable[[Any], Any]


def checked_steps(
    handed_over: Sequence[Step], engine: Sequence[Step], recipe: str, taken: Collection[str] = ()
) -> tuple[Step, ...]:
    """A recipe's steps, in order.

    Args:
        handed_over: What the project says; empty for the engine's own steps.
        engine: The engine's own steps, in order; each must be there once.
        recipe: `training` or `batch`: the field of `Model`, and the module with the engine's steps.
        taken: Further names that no step of the project may have.

    Raises:
        ProjectDefinitionError: If a step of the engine is missing, there twice or at another
            place, or a step of the project cannot be used; names it, its file and its line.
    """
    if not handed_over:
        return tuple(engine)
    names = [each.__name__ for each in engine]
    order = ", ".join(f"{recipe}.{name}" for name in names)
    for each in engine:
        count = sum(step is each for step in handed_over)
        if count != 1:
            found = "lacks" if count == 0 else f"has {count} times"
            raise ProjectDefinitionError(
                f"Model({recipe}=…) {found} the engine's step {each.__name__}",
                f"name each of these once, in this order, with your own steps between: {order}",
            )
    own = [step for step in handed_over if not any(step is each for each in engine)]
    present = [step.__name__ for step in handed_over if step not in own]
    if present != names:
        raise ProjectDefinitionError(
            f"Model({recipe}=…) has the engine's steps in the order {', '.join(present)}",
            f"keep their order, with your own steps between: {order}",
        )
    used = {*names, *taken}
    for step in own:
        _require_usable(step, used, recipe)
        used.add(step.__name__)
    return tuple(handed_over)


def _require_usable(step: Step, used: Collection[str], recipe: str) -> None:
    name = getattr(step, "__name__", "")
    if not callable(step) or not name.isidentifier():
        raise ProjectDefinitionError(
            f"Model({recipe}=…) holds {place_of(step)}, which is no function with a name",
            "define the step with def: its name is how it is run and stored",
        )
    if name in used:
        raise ProjectDefinitionError(
            f"{place_of(step)}: the name of this step of Model({recipe}=…) is taken",
            f"give it another name than {', '.join(sorted(used))}",
        )
    try:
        inspect.signature(step).bind("work")
    except TypeError as error:
        raise ProjectDefinitionError(
            f"{place_of(step)} cannot be a step of Model({recipe}=…): {error}",
            f"give it one parameter: def {name}(work)",
        ) from error
    require_plain(step, f"a step of Model({recipe}=…)")
