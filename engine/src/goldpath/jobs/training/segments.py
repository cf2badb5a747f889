"""What a training of a clustering does beside the others: numbers for its segments, and their page.

`reports/segments.html` and `reports/segments.json` show what the segments are; both are logged to
the run.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.errors import ProjectError
from goldpath.features.row.complete import complete_rows
from goldpath.jobs.training.work import TrainingWork
from goldpath.learning.decision.choice import Decided
from goldpath.learning.frames import model_frame
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.search import SearchResult, fit
from goldpath.learning.segments.numbering import Former, Numbered, number_segments
from goldpath.presentation import step
from goldpath.registry.layout import SEGMENTS_TAG
from goldpath.reports import finite, write_text

if TYPE_CHECKING:
    from goldpath.learning.segments.profile import SegmentProfile

PAGE_FILE, VALUES_FILE = "segments.html", "segments.json"
PROFILED_ROWS = 100_000


def numbered_candidate(work: TrainingWork, best: SearchResult) -> tuple[Mapping[str, Any], Decided]:
    """The parameters of the fit with its labels, and what the version's contract will say of them.

    Args:
        work: A training whose number of segments was found.
        best: That number.
    """
    training = work.settings.training
    rows = work.train_rows
    if len(rows) > PROFILED_ROWS:
        rows = rows.sample(PROFILED_ROWS, random_state=training.seed)
    plain = {**best.parameters, "labels": ()}
    model = fit(work.train_rows, work.contract, best.family, plain, training.seed)
    frame = model_frame(complete_rows(rows, work.contract), work.contract)
    places = model.pipeline[-1].places(model.pipeline[:-1].transform(frame))
    clusters = int(best.parameters["clusters"])
    numbered = number_segments(
        places, clusters, training.segment_names, _former(work, rows), highest_number(work)
    )
    for note in numbered.notes:
        step(f"segments: {note}")
    return parameters_of(best, numbered), Decided(segments=dict(numbered.segments))


def parameters_of(best: SearchResult, numbered: Numbered) -> Mapping[str, Any]:
    """The parameters that the segments are built with."""
    return {**best.parameters, "labels": list(numbered.labels)}


def highest_number(work: TrainingWork) -> int:
    """The highest number that a version's segment has had; 0 before there is a champion.

    Candidates count, too: they may have been champion, and what was gone must not come back as
    something else.
    """
    if work.manager.champion_version() is None:
        return 0
    return max((int(each.tags.get(SEGMENTS_TAG, 0)) for each in work.manager.versions()), default=0)


def _former(work: TrainingWork, rows: Any) -> Former | None:
    """What the champion says of the rows; None where there is none, or it cannot score them."""
    champion = work.champion
    if champion is None or not champion.contract.segments:
        return None
    try:
        labels = np.array(champion.predict(rows).values)
    except (ProjectError, KeyError, TypeError, ValueError) as error:
        step(f"segments are numbered anew: the champion cannot score these rows: {error}")
        return None
    return Former(labels, champion.contract.segments)


def write_segments(work: TrainingWork) -> "tuple[SegmentProfile, ...]":
    """Write and log the page of a candidate's segments; returns what they are.

    Of another problem there are none, and nothing is written.
    """
    from goldpath.judging.segments.evaluation import recovered_by_label
    from goldpath.judging.segments.page import segments_page
    from goldpath.learning.segments.figures import figures_of
    from goldpath.learning.segments.profile import profile_segments

    if work.contract.has_target:
        return ()
    settings, model = work.settings, work.model
    rows = work.train_rows
    if len(rows) > PROFILED_ROWS:
        rows = rows.sample(PROFILED_ROWS, random_state=settings.training.seed)
    frame = model_frame(complete_rows(rows, model.contract), model.contract)
    labels = np.array(model.predict_frame(frame).values)
    figures = figures_of(model, work.split.train, work.split.test, settings.training.seed)
    profiles = profile_segments(frame, labels, model.contract, recovered_by_label(model, figures))
    page = segments_page(
        work.contract.model_name,
        profiles,
        figures,
        len(rows),
        [
            (
                int(trial.parameters["clusters"]),
                trial.score,
                float(trial.drawn["silhouette"]),
                float(trial.drawn["smallest_share"]),
            )
            for trial in work.run.trials()
        ],
        _renamed(model),
    )
    files = {PAGE_FILE: page.to_html(), VALUES_FILE: json.dumps(finite(page.to_values()), indent=2)}
    for name, text in files.items():
        write_text(settings.reports / name, text)
        work.manager.log_text(work.run.run_id, text, name)
    for each in profiles:
        step(f"{each.label}: {each.share:.1%} of the rows; {each.name}")
    return profiles


def _renamed(model: LoadedModel) -> tuple[str, ...]:
    """Which segments answer with a name of the owner's."""
    return tuple(
        f"Segment {number} is called {label} by config/training.yaml."
        for number, label in (model.contract.segments or {}).items()
        if label != f"segment_{number}"
    )
