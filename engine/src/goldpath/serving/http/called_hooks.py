"""The project's hooks, called: a refusal is the caller's problem, a failure the service's."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from goldpath.handed_over import place_of
from goldpath.serving.answers.hooks import Hooks, PredictionRequest, RefusedError, hook_name
from goldpath.serving.answers.own_fields import Prediction
from goldpath.serving.http.problem_error import ProblemError

log = logging.getLogger(__name__)


def before_answer(hooks: Hooks, request: PredictionRequest) -> None:
    """Call the hooks before an answer, in their order.

    Raises:
        ProblemError: If one refuses the request, with its status; 500 where one fails.
    """
    for hook in hooks.before:
        _call(hook, (request,), "before the prediction", "nothing was scored")


def after_answer(
    hooks: Hooks,
    request: PredictionRequest,
    predictions: Sequence[Prediction],
    ids: Sequence[str],
) -> None:
    """Call the hooks after the predictions, in their order.

    Args:
        hooks: The project's.
        request: What was asked.
        predictions: What is answered, one a row.
        ids: Of the predictions, which are logged already.

    Raises:
        ProblemError: As `before_answer`; names the logged predictions.
    """
    several = f"the {len(ids)} predictions were logged, the first" if len(ids) > 1 else ""
    logged = f"{several or 'the prediction was logged'} as {ids[0]}" if ids else ""
    for hook in hooks.after:
        _call(hook, (request, predictions), "after the prediction", logged)


def _call(hook: Callable[..., None], given: tuple[Any, ...], when: str, outcome: str) -> None:
    try:
        hook(*given)
    except RefusedError as refusal:
        raise ProblemError(refusal.status, refusal.message, refusal.fix) from refusal
    except Exception as error:
        log.exception("%s: the hook failed", place_of(hook))
        raise ProblemError(
            500,
            f"the hook {hook_name(hook)} {when} failed: {type(error).__name__}; {outcome}",
            "tell whoever runs the service: its log has the cause",
        ) from error
