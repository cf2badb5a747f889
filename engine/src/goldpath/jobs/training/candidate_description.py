"""What people read of a candidate: its semantic version, the changelog and the model card."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from goldpath.contract import EVENT_TIME, dump_contract, parse_contract
from goldpath.domain import common_words, words_of
from goldpath.errors import ProjectError
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.jobs.training.inputs import commit, lock_text
from goldpath.jobs.training.results import TrainingResult
from goldpath.jobs.training.work import TrainingWork
from goldpath.judging.card import CardFacts, write_card
from goldpath.judging.validation import validate_candidate
from goldpath.learning.metrics import between, four_digits
from goldpath.learning.segments.profile import SegmentProfile
from goldpath.model_version import ModelVersion
from goldpath.project import naming
from goldpath.registry.layout import CONTRACT_FILE, SEMANTIC_TAG
from goldpath.registry.versions import (
    ChangelogEntry,
    PreviousVersion,
    VersionManager,
    VersionSuggestion,
    changelog_entry,
)
from goldpath.trust.lineage import Lineage
from goldpath.trust.signing_keys import signing_key

CHANGELOG_FILE = "CHANGELOG.md"
CHANGELOG_TITLE = "# Changelog\n\n"
COMMON_WORDS = 8

Tags = Mapping[str, str]
MakeTags = Callable[[Mapping[str, Any]], Tags]
Describe = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Description:
    """A candidate in words.

    Attributes:
        semantic_version: Major, minor and patch.
        reason: Why it is that one.
        changelog: Markdown, this version first.
        card: The model card in Markdown.
    """

    semantic_version: str
    reason: str
    changelog: str
    card: str


def describe_candidate(
    work: TrainingWork,
    metrics: Mapping[str, float],
    segments: tuple[SegmentProfile, ...] = (),
) -> Description:
    """Number the candidate after the version that it follows, and write its card.

    It follows the champion, or the newest version where there is none.

    Args:
        work: A training that was evaluated.
        metrics: Its metrics on the test rows by name.
        segments: Of a clustering what its segments are.
    """
    former = work.manager.champion_version() or work.manager.newest_version()
    suggestion = _suggest(work, metrics, former)
    entry = ChangelogEntry(
        version=suggestion.version,
        day=datetime.now(UTC).date(),
        reason=suggestion.reason,
        change=suggestion.change,
        metrics=metrics,
    )
    former_entries = ""
    if former is not None and work.manager.has_artifact(former.run_id, CHANGELOG_FILE):
        text = work.manager.read_text(former.run_id, CHANGELOG_FILE)
        former_entries = "\n" + text.removeprefix(CHANGELOG_TITLE)
    return Description(
        semantic_version=suggestion.version,
        reason=suggestion.reason,
        changelog=CHANGELOG_TITLE + changelog_entry(entry) + former_entries,
        card=write_card(_card_facts(work, suggestion, segments)),
    )


def version_description(result: TrainingResult, own: Describe | None) -> str:
    """What lists of versions show: family and metric first, the data below.

    Args:
        result: What is known of the candidate.
        own: The project's `Model.description`.

    Raises:
        ProjectDefinitionError: If it fails, or gives no text.
    """
    if own is not None:
        with naming(own):
            text = own(asdict(result))
        if not isinstance(text, str):
            raise ProjectDefinitionError(
                f"{place_of(own)} returned a {type(text).__name__} as the version's description",
                "return a text; its first line is shown in lists",
            )
        return text
    interval = between(result.interval)
    return (
        f"{result.family}: {result.metric} {four_digits(result.value)}"
        f"{f' ({interval})' if interval else ''}\n\n"
        f"{result.n_train} training rows and {result.n_test} test rows of gold snapshot "
        f"{result.gold_snapshot}; the interval is the 95 % one on the test rows."
    )


def own_tags(result: TrainingResult, own: MakeTags | None, engines: Collection[str]) -> Tags:
    """The project's tags of the run and the version.

    Args:
        result: What is known of the candidate.
        own: The project's `Model.tags`.
        engines: Tags that the engine sets.

    Raises:
        ProjectDefinitionError: If it fails, gives no mapping of texts, or a tag of the engine.
    """
    if own is None:
        return {}
    with naming(own):
        tags = own(asdict(result))
    if not isinstance(tags, Mapping) or not all(
        isinstance(each, str) for item in tags.items() for each in item
    ):
        raise ProjectDefinitionError(
            f"{place_of(own)} returned tags that are not texts by name: {tags!r}"[:500],
            'return a mapping such as {"team": "retention"}; write str(value)',
        )
    if taken := [name for name in tags if name in engines or name.startswith("mlflow.")]:
        raise ProjectDefinitionError(
            f"{place_of(own)} returned {', '.join(taken)}, which the engine sets",
            "choose another name for the tag",
        )
    return tags


def _suggest(
    work: TrainingWork, metrics: Mapping[str, float], former: ModelVersion | None
) -> VersionSuggestion:
    versions = VersionManager(work.settings.registry.version_rules)
    taken = [
        version.tags[SEMANTIC_TAG]
        for version in work.manager.versions()
        if SEMANTIC_TAG in version.tags
    ]
    previous = None
    if former is not None and SEMANTIC_TAG in former.tags:
        text = work.manager.read_text(former.run_id, CONTRACT_FILE)
        # The champion's value on this candidate's test rows, where it could be had: the values of
        # two trainings on two sets of rows cannot be compared.
        judged = work.judged
        theirs = judged.champion if "champion" in former.aliases else None
        previous = PreviousVersion(
            version=former.tags[SEMANTIC_TAG],
            contract=parse_contract(text),
            metrics={} if theirs is None else {judged.metric: theirs},
        )
    contract = work.contract if work.contract.has_target else work.decided_contract
    return versions.suggest_for(contract, metrics, previous, taken, main=work.judged.metric)


def _card_facts(
    work: TrainingWork, suggestion: VersionSuggestion, segments: tuple[SegmentProfile, ...]
) -> CardFacts:
    evaluation, contract, card = work.evaluation, work.contract, work.settings.card
    found = work.found
    return CardFacts(
        contract=work.decided_contract,
        version=suggestion.version,
        reason=suggestion.reason,
        created=datetime.now(UTC),
        family=found.family,
        parameters=found.parameters,
        rows=(found.learned_rows, len(work.split.test)),
        period=_period(work),
        split_rule=work.split.rule,
        searched_rows=found.searched_rows,
        unlabelled_rows=work.extracted.unlabelled_rows,
        scores=(evaluation.score, *evaluation.others.values()),
        baseline=evaluation.baseline,
        other_baselines=evaluation.other_baselines,
        champion=work.judged.champion,
        slices=evaluation.slices,
        importances=evaluation.importances,
        validation=validate_candidate(
            work.settings,
            work.model,
            work.champion,
            work.split,
            contract,
            run=work.manager.store.run(work.run.run_id),
        ),
        lineage=Lineage(
            run_id=work.run.run_id,
            snapshot_id=str(work.extracted.snapshot_id),
            commit=commit(work.settings.root),
            lock_digest=_digest(lock_text(work.settings)),
            contract_digest=_digest(dump_contract(contract)),
            seed=work.settings.training.seed,
            key_id=_key_id(work),
        ),
        intended_use=card.intended_use,
        out_of_scope=card.out_of_scope,
        limits=card.limits,
        license=card.license,
        languages=card.languages,
        tags=card.tags,
        segments=segments,
        texts={name: _described_text(work, name) for name in contract.text_features},
    )


def _described_text(work: TrainingWork, name: str) -> str:
    """How long the training rows' texts are, and their common words unless they are personal."""
    texts = work.split.train[name].dropna()
    if texts.empty:
        return "no training row has one"
    length = texts.map(lambda text: len(words_of(text))).mean()
    said = f"{length:.1f} words in the mean"
    if name in work.contract.personal:
        return f"{said}; personal, so its words are not shown"
    words = common_words(texts, COMMON_WORDS)
    return f"{said}; common ones: {', '.join(word for word, _ in words)}"


def _period(work: TrainingWork) -> tuple[str, str] | None:
    if not work.contract.has_time:
        return None
    times: Any = work.rows[EVENT_TIME]
    return (str(times.min()), str(times.max()))


def _key_id(work: TrainingWork) -> str:
    try:
        return signing_key(work.settings)[0]
    except ProjectError:
        return ""  # registering says why, in a moment


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
