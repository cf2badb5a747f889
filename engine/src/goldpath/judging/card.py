"""The model card: Markdown with the front matter that Hugging Face reads.

After Mitchell et al. 2019: what the model is for, what it was made from, how good it is and for
whom, and where it must not be trusted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import yaml

from goldpath.features.event_labels import describe_event
from goldpath.judging.baseline import baseline_rule
from goldpath.judging.segments import card_text
from goldpath.judging.validation_report import ValidationReport, ValidationResult
from goldpath.learning.decision.interval import described
from goldpath.learning.metrics import UNDEFINED, Score, between, four_digits
from goldpath.pages.markdown import plain, table
from goldpath.registry.versions import RETRAINED
from goldpath.trust.lineage import Lineage, lineage_table

if TYPE_CHECKING:
    from goldpath.contract import Contract
    from goldpath.judging.error_analysis import Slice
    from goldpath.learning.segments.profile import SegmentProfile

SHOWN_SLICES = 10
SHOWN_FEATURES = 10
POOR_CALIBRATION = 0.05
GROUPS = "thresholds by group"
TASKS = {
    "classification": "tabular-classification",
    "regression": "tabular-regression",
    "clustering": "other",  # Hugging Face has no task of that name
}
FIGURE_NAMES = {
    "roc_auc": "Area under the ROC curve",
    "roc_auc_ovr": "Area under the ROC curve, one class against the rest",
    "r2": "R², share of variance explained",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy, mean over classes of the share found",
    "precision": "Precision: of the rows called positive, the share that is",
    "recall": "Recall: of the positive rows, the share that is found",
    "pr_auc": "Area under the precision-recall curve",
    "f1_macro": "F1, mean over classes",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "calibration_error": "Expected calibration error",
    **card_text.FIGURES,
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "coverage": "Coverage: the share of true values in their intervals",
    "interval_width": "Mean width of the intervals",
    "unsure_share": "Share of rows whose decision is left open",
    "decided_accuracy": "Accuracy of the others",
    "decided_precision": "Precision of the others",
    "decided_recall": "Recall of the others",
}


@dataclass(frozen=True)
class CardFacts:
    """Everything that the card says.

    Attributes:
        contract: The dataset contract.
        version: Semantic version.
        reason: Why it is that one.
        created: When the model was trained.
        family: The kind of model.
        parameters: Its parameters.
        rows: Training rows and test rows.
        period: First and last event time, as text; None where the data has no time.
        split_rule: How the rows were divided.
        scores: Metrics on the test rows with their 95 % intervals, the main one first.
        baseline: The main metric of `judging.baseline.baseline_model`.
        lineage: What it can be rebuilt from.
        other_baselines: Further metrics of that model.
        champion: The main metric of the champion of that day on the same rows.
        slices: The loss on parts of the test rows.
        importances: Loss of the main metric when a feature is shuffled, the largest first.
        validation: What the checks said.
        intended_use: What people wrote about the use; a plain sentence where they did not.
        out_of_scope: What it must not be used for.
        limits: Further limits that people know.
        license: A licence identifier of Hugging Face, such as mit; `other` where there is none.
        languages: ISO 639-1 codes of the text in the data.
        tags: Further tags.
        unlabelled_rows: Rows without a label yet, where the target is made from events.
        texts: What is said of each free text, by its name.
        searched_rows: So many of the training rows were drawn for the search; None: all.
        segments: Of a clustering what its segments are.
    """

    contract: "Contract"
    version: str
    created: datetime
    family: str
    rows: tuple[int, int]
    split_rule: str
    scores: tuple[Score, ...]
    baseline: float
    lineage: Lineage
    reason: str = RETRAINED
    parameters: Mapping[str, Any] = field(default_factory=dict)
    period: tuple[str, str] | None = None
    other_baselines: Mapping[str, float] = field(default_factory=dict)
    champion: float | None = None
    slices: "tuple[Slice, ...]" = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    validation: ValidationReport | None = None
    intended_use: str = ""
    out_of_scope: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    license: str = "other"
    languages: tuple[str, ...] = ("en",)
    tags: tuple[str, ...] = ()
    unlabelled_rows: int = 0
    texts: Mapping[str, str] = field(default_factory=dict)
    searched_rows: int | None = None
    segments: "tuple[SegmentProfile, ...]" = ()


def write_card(facts: CardFacts) -> str:
    """The card as Markdown."""
    contract = facts.contract
    sections = {
        "Segments": card_text.segments_table(facts.segments),
        "Intended use": _intended_use(facts),
        "Data": _data(facts),
        "Quality": _quality(facts),
        "Calibration": _calibration(facts),
        "Decisions": _decisions(facts),
        "Intervals": _intervals(facts),
        "Where it is worse": _slices(facts),
        "Fairness": _fairness(facts),
        "Checks": _checks(facts),
        "Limits": _limits(facts),
        "Lineage": lineage_table(facts.lineage, facts.parameters),
    }
    title = f"# {plain(contract.model_name)} {plain(facts.version)}"
    head = f"---\n{yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True)}---\n"
    body = "\n".join(f"## {name}\n\n{text.strip()}\n" for name, text in sections.items() if text)
    return f"{head}\n{title}\n\n{_summary(facts)}\n\n{body}"


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """The metadata block, in the layout of Hugging Face's model cards."""
    contract = facts.contract
    task = TASKS[contract.problem]
    finite = [score for score in facts.scores if math.isfinite(score.value)]
    return {
        "language": list(facts.languages),
        "license": facts.license,
        "library_name": "sklearn",
        "pipeline_tag": task,
        "tags": list(dict.fromkeys(["tabular", contract.problem, "skops", *facts.tags])),
        "datasets": [contract.dataset],
        "metrics": [score.metric for score in finite],
        "model-index": [
            {
                "name": contract.model_name,
                "results": [
                    {
                        "task": {"type": task, "name": f"Tabular {contract.problem}"},
                        "dataset": {
                            "type": contract.dataset,
                            "name": contract.dataset,
                            "split": "test",
                            "revision": facts.lineage.snapshot_id,
                        },
                        "metrics": [
                            {
                                "type": score.metric,
                                "value": round(float(score.value), 6),
                                "name": FIGURE_NAMES.get(score.metric, score.metric),
                            }
                            for score in finite
                        ],
                    }
                ],
            }
        ],
    }


def _summary(facts: CardFacts) -> str:
    target = plain(facts.contract.target.column)
    what = (
        card_text.purpose(facts.contract)
        if not facts.contract.has_target
        else f"predicts {target} as a number"
        if facts.contract.problem == "regression"
        else f"tells which class of {target} a row has: "
        + ", ".join(map(plain, facts.contract.target.classes))
    )
    return (
        f"A {plain(facts.family)} model that {what}. Trained {facts.created:%Y-%m-%d}. "
        f"This version: {plain(facts.reason)}."
    )


def _intended_use(facts: CardFacts) -> str:
    what = "Segments" if not facts.contract.has_target else "Predictions"
    of = f" of {facts.contract.target.column}" * facts.contract.has_target
    use = facts.intended_use or (
        f"{what}{of} for rows like those it was trained on, one at a time or in batches."
    )
    out = ["", "Not for:", "", *(f"- {plain(item)}" for item in facts.out_of_scope)]
    return "\n".join([plain(use), *(out if facts.out_of_scope else [])])


def _data(facts: CardFacts) -> str:
    contract = facts.contract
    train, test = facts.rows
    lines = [
        f"- Dataset: {plain(contract.dataset)}, snapshot {plain(facts.lineage.snapshot_id)}",
        f"- Rows: {train:,} for training, {test:,} for the test; {plain(facts.split_rule)}",
        f"- Features: {', '.join(map(plain, contract.feature_names))}",
    ]
    lines += [f"- Free text: {plain(name)}: {plain(said)}" for name, said in facts.texts.items()]
    if facts.searched_rows:
        lines.append(
            f"- Searched on {facts.searched_rows:,} of the training rows, drawn as the split is; "
            "threshold and interval are theirs, too. The model learned from all"
        )
    if contract.target.event:
        lines.append(f"- Target: {plain(describe_event(contract))}")
        lines.append(
            f"- No label yet, so not learned from: {facts.unlabelled_rows:,} rows, whose "
            f"{contract.target.within} end after the events that were known"
        )
    if facts.period:
        lines.append(f"- Period: {plain(facts.period[0])} to {plain(facts.period[1])}")
    if contract.personal:
        lines.append(f"- Personal data: {', '.join(map(plain, contract.personal))}")
    return "\n".join(lines)


def _quality(facts: CardFacts) -> str:
    baselines = {**facts.other_baselines}
    if facts.scores:
        baselines[facts.scores[0].metric] = facts.baseline
    rows = [
        (
            FIGURE_NAMES.get(score.metric, score.metric),
            four_digits(score.value),
            between(score.interval),
            four_digits(baselines[score.metric]) if score.metric in baselines else "",
        )
        for score in facts.scores
    ]
    if facts.champion is not None:
        champion = four_digits(facts.champion)
        rows.append(("Champion of that day, main metric", champion, "", ""))
    text = (
        "On the test rows, which neither the search nor the fit has seen. The baseline "
        f"{plain(baseline_rule(facts.contract))}.\n\n"
    )
    text += table(("metric", "value", "95 % interval", "baseline"), rows)
    shown = list(facts.importances.items())[:SHOWN_FEATURES]
    if shown:
        what = (
            "What the main metric loses" if facts.contract.has_target else "How far segments move"
        )
        text += f"\n\n{what} when a feature is shuffled:\n\n"
        text += table(("feature", "loss"), [(name, four_digits(loss)) for name, loss in shown])
    return text


def _calibration(facts: CardFacts) -> str:
    error = _score(facts, "calibration_error")
    if error is None:
        return ""
    word = "far from" if error.value > POOR_CALIBRATION else "close to"
    return (
        f"Predicted probabilities are {word} observed shares: the mean distance over ten groups is "
        f"{error.value:.3f} [{error.interval[0]:.3f}, {error.interval[1]:.3f}]."
    )


def _decisions(facts: CardFacts) -> str:
    contract = facts.contract
    if contract.decision_thresholds is not None:
        if not contract.decision_thresholds:
            return "The most probable class is decided: no threshold was better."
        lines = [f"{plain(k)} above {line:.4g}" for k, line in contract.decision_thresholds.items()]
        return (
            f"Decided are: {', '.join(lines)}; of several the one with the most times its "
            "threshold, and where there is none the most probable of the other classes."
        )
    if contract.decision_threshold is None:
        return ""
    text = (
        f"{plain(contract.target.positive)} is decided above a probability of "
        f"{contract.decision_threshold:.4g}."
    )
    if contract.decision_groups is not None:
        text += f"\n\n{_group_thresholds(facts)}"
    if contract.decision_unsure is not None:
        text += " From {:.4g} to {:.4g} the decision is left open.".format(
            *contract.decision_unsure
        )
    return text


def _group_thresholds(facts: CardFacts) -> str:
    made = [r for r in facts.validation.results if r.name == GROUPS] if facts.validation else []
    if not made:
        return "Rows of different groups have different thresholds; what they do was not examined."
    return _detailed("group", made[0])


def _intervals(facts: CardFacts) -> str:
    interval = facts.contract.prediction_interval
    if interval is None:
        return ""
    return (
        f"{plain(described(interval))}. Half the width is a quantile of the absolute errors on "
        "training rows, by models that did not see the row. It is the same for a row that is easy "
        "to predict and for one that is not, and the level is an average over rows like those of "
        "the training. Where rows change with time they are not alike: the coverage above is what "
        "the test rows had, which are the newest ones where rows have a time."
    )


def _slices(facts: CardFacts) -> str:
    if not facts.slices:
        return ""
    worse = [item for item in facts.slices if item.worse][:SHOWN_SLICES]
    if not worse:
        return f"On none of {len(facts.slices)} parts of the test rows beyond chance."
    rows = [
        (item.name, f"{item.rows:,}", f"{item.loss:.4g}", f"{item.loss_elsewhere:.4g}")
        for item in worse
    ]
    return table(("rows where", "rows", "loss", "loss elsewhere"), rows)


def _fairness(facts: CardFacts) -> str:
    groups = facts.contract.fairness_groups
    if not groups:
        said = "No groups are named (`fairness_groups` in `config/project.yaml`): not examined."
        return said + " See the thresholds by group above." * (
            facts.contract.decision_groups is not None
        )
    found = [r for r in facts.validation.results if r.name == "bias"] if facts.validation else []
    if not found:
        return f"Groups of {', '.join(map(plain, groups))} are named and were not examined."
    return _detailed("group", found[0])


def _detailed(head: str, result: ValidationResult) -> str:
    """A check with its figures."""
    columns = result.columns
    rows = [
        (name, *(_figure(row.get(column, "")) for column in columns))
        for name, row in result.details.items()
    ]
    return f"{result.status}: {plain(result.message)}\n\n" + table((head, *columns), rows)


def _checks(facts: CardFacts) -> str:
    if facts.validation is None:
        return ""
    rows = [(r.name, str(r.status), r.message) for r in facts.validation.results]
    return table(("check", "status", "figures"), rows)


def _limits(facts: CardFacts) -> str:
    lines = ["A prediction is an estimate, not a cause: it does not say what would change it."]
    if not facts.contract.has_target:
        lines = [*card_text.LIMITS]
    if facts.period:
        lines.append(f"Nothing is known of its quality on rows after {facts.period[1]}.")
    error = _score(facts, "calibration_error")
    if error is not None and error.value > POOR_CALIBRATION:
        lines.append("Do not read its scores as probabilities without calibrating them.")
    if any(item.worse for item in facts.slices):
        lines.append("It is worse on the rows that are listed above.")
    if not facts.contract.fairness_groups and facts.contract.decision_groups is None:
        lines.append("Whether it treats groups of people alike was not examined.")
    return "\n".join(f"- {plain(line)}" for line in (*lines, *facts.limits))


def _score(facts: CardFacts, metric: str) -> Score | None:
    return next((score for score in facts.scores if score.metric == metric), None)


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if math.isfinite(value) else UNDEFINED
