"""What the gate asks of a segmentation: stable, large enough, and more than noise would give."""

import numpy as np

from goldpath.errors import ProjectError
from goldpath.judging.evidence import Evidence
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.learning.segments.limits import least
from goldpath.learning.segments.quality import rand_index

MARGIN = 0.02
"""How far the silhouette must be above that of noise; less is of no use, however certain it is."""
ALIKE = 0.5
"""Below this adjusted Rand index with the champion most rows change their company."""
AGREEMENT_CHECK = "agreement with the champion"
WAYS_OUT = {
    "segments are stable": "take out columns that say nothing of the groups, or allow other "
    "numbers of segments (training.clusters in config/training.yaml)",
    "segments are large enough": "allow fewer segments (training.clusters in "
    "config/training.yaml), or lower validation.thresholds: {smallest_share: …}; where "
    "rows are split by time, look whether the newest rows lack a segment (reports/segments.html)",
    "segments are more than noise": "choose columns in which groups are to be expected; these rows "
    "may have none",
}
"""By check."""


def check_segment_stability(evidence: Evidence) -> ValidationResult | None:
    """Fits on bootstrap samples must find the same segments."""
    figures = evidence.segment_figures
    if figures is None:
        return _unknown("segments are stable", evidence)
    if not figures.is_divided:
        return _undivided("segments are stable", evidence)
    floor, value = least(evidence.validation.thresholds)["stability"], figures.mean_stability
    low, high = figures.stability_interval
    weak = [f"{share:.2f}" for share in figures.recovered if share < floor]
    return ValidationResult(
        "segments are stable",
        ValidationStatus.PASSED if value >= floor else ValidationStatus.FAILED,
        f"adjusted Rand index {value:.3f} [{low:.3f}, {high:.3f}] between fits on "
        f"{len(figures.stability)} bootstrap samples, at least {floor:g}; noise of the same ranges "
        f"has {figures.noise_stability:.3f}"
        + (f"; segments found again to {', '.join(weak)} only" if weak else ""),
        score=value,
        threshold=floor,
        fix=WAYS_OUT["segments are stable"],
    )


def check_segment_sizes(evidence: Evidence) -> ValidationResult | None:
    """A segment of a handful of rows is of no use."""
    figures = evidence.segment_figures
    if figures is None:
        return _unknown("segments are large enough", evidence)
    floor = least(evidence.validation.thresholds)["smallest_share"]
    value = figures.smallest_share
    return ValidationResult(
        "segments are large enough",
        ValidationStatus.PASSED if value >= floor else ValidationStatus.FAILED,
        f"the smallest of {len(figures.sizes)} segments has {value:.1%} of the test rows, at least "
        f"{floor:.1%}",
        score=value,
        threshold=floor,
        fix=WAYS_OUT["segments are large enough"],
    )


def check_segment_structure(evidence: Evidence) -> ValidationResult | None:
    """The segments must be farther apart than k-means makes them of what has none.

    Refused is what does not beat even noise and one Gaussian of the same covariance. What beats
    these, but not the same columns drawn apart, divides single columns, and is warned of.
    """
    figures = evidence.segment_figures
    if figures is None:
        return _unknown("segments are more than noise", evidence)
    if not figures.is_divided:
        return _undivided("segments are more than noise", evidence)
    value = figures.silhouette
    noise, gaussian, permuted = (
        (float(np.mean(draws)), max(draws))
        for draws in (
            figures.noise_silhouettes,
            figures.gaussian_silhouettes,
            figures.permuted_silhouettes,
        )
    )
    asked = least(evidence.validation.thresholds).get("silhouette", -1.0)
    floor = max(asked, *(max(most, mean + MARGIN) for mean, most in (noise, gaussian)))
    several = max(permuted[1], permuted[0] + MARGIN)
    status, said = ValidationStatus.PASSED, ""
    if not value > floor:
        status = ValidationStatus.FAILED
        said = f"; above {floor:.3f} is needed: these rows fall into no groups"
    elif not value > several:
        status = ValidationStatus.WARNING
        said = (
            f"; above {several:.3f} would be needed of groups in several columns together: these "
            "segments divide single columns, by their skew or their peaks"
        )
    return ValidationResult(
        "segments are more than noise",
        status,
        f"silhouette {value:.3f}; of {len(figures.noise_silhouettes)} draws each, even noise of "
        f"the same ranges has {_spoken(noise)}, one Gaussian of the same covariance "
        f"{_spoken(gaussian)}, and the same columns drawn apart {_spoken(permuted)}{said}",
        score=value,
        threshold=floor,
        fix=WAYS_OUT["segments are more than noise"],
    )


def _unknown(name: str, evidence: Evidence) -> ValidationResult | None:
    """A check of segments that has no figures; None where there are no segments."""
    if evidence.contract.has_target:
        return None
    return ValidationResult(
        name,
        ValidationStatus.NOT_ENOUGH_DATA,
        "the training rows are not known, and segments are judged by fits on samples of them; "
        "ModelValidator takes them as reference_data",
    )


def _undivided(name: str, evidence: Evidence) -> ValidationResult:
    return ValidationResult(
        name,
        ValidationStatus.NOT_ENOUGH_DATA,
        f"all of the {len(evidence.rows):,} judged rows lie in one segment, so nothing can be said "
        "of how far apart segments are; rows drawn from all of the table are needed",
    )


def _spoken(draws: tuple[float, float]) -> str:
    mean, most = draws
    return f"{mean:.3f} (at most {most:.3f})"


def check_champion_agreement(evidence: Evidence) -> ValidationResult | None:
    """How far today's champion groups the same rows alike; neither of the two is the true one."""
    if evidence.champion is None:
        return None
    try:
        theirs = evidence.champion_predictions
    except (ProjectError, KeyError, TypeError, ValueError) as error:
        return ValidationResult(
            AGREEMENT_CHECK,
            ValidationStatus.WARNING,
            f"the champion cannot score these rows ({error}), so it is not compared with",
        )
    if theirs is None:
        return None
    agreed = rand_index(np.array(evidence.predictions.values), np.array(theirs.values))
    alike = agreed >= ALIKE
    return ValidationResult(
        AGREEMENT_CHECK,
        ValidationStatus.PASSED if alike else ValidationStatus.WARNING,
        f"adjusted Rand index {agreed:.3f} on {len(evidence.rows)} test rows"
        + ("" if alike else f", below {ALIKE:g}: these are other groups than the champion's")
        + ": it says how much changes for whoever uses the segments, not which one is better",
        score=agreed,
        threshold=ALIKE,
    )
