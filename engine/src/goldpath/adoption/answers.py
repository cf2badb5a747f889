"""What a user answers where adoption was not sure: the options `--as`, `--label` and others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from goldpath.adoption.column_profile import AdoptionError

MEANINGS = {
    "thousands": "the mark in its numbers separates thousands",
    "decimals": "the mark in its numbers is a decimal mark",
    "number": "numbers; other texts are missing values",
    "category": "categories, whatever they look like",
    "text": "free text, whose words a model learns from",
    "ignored": "left out",
}


@dataclass(frozen=True)
class Answers:
    """Answers to what adoption asks; each question names the option that answers it.

    Attributes:
        columns: What columns are, by name; the values are keys of `MEANINGS`.
        labels: Words that are classes of the target, though they usually mean a missing value.
        missing: Words that mean a missing label.
        join_labels: Whether spellings of one label, such as `No` and `NO`, are one class.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    join_labels: bool = False


def parse_answers(
    columns: Iterable[str] = (),
    labels: Iterable[str] = (),
    missing: Iterable[str] = (),
    *,
    join_labels: bool = False,
) -> Answers:
    """Read the options.

    Args:
        columns: `COLUMN=MEANING` of `--as`.
        labels: Words of `--label`.
        missing: Words of `--missing`.
        join_labels: `--join-labels`.

    Raises:
        AdoptionError: If a meaning is not known.
    """
    meanings = {}
    for text in columns:
        name, equals, meaning = text.rpartition("=")
        if not equals or meaning.strip().lower() not in MEANINGS:
            known = "; ".join(f"{key} ({what})" for key, what in MEANINGS.items())
            raise AdoptionError(
                f"--as {text}: expected COLUMN=MEANING", f"give one of these meanings: {known}"
            )
        meanings[name.strip()] = meaning.strip().lower()
    return Answers(meanings, tuple(labels), tuple(missing), join_labels)
