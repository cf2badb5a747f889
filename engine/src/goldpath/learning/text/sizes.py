"""How much a model sees of a free text: the settings `training.text_terms` and `text_axes`."""

from dataclasses import dataclass

from goldpath.settings.training import TrainingSettings


@dataclass(frozen=True)
class TextSizes:
    """How a free text is turned into numbers.

    Attributes:
        terms: Words and pairs of words that are told apart, the most frequent ones.
        axes: Numbers that they are condensed to; up to so many terms stay as they are.
    """

    terms: int = 20_000
    axes: int = 32


USUAL_SIZES = TextSizes()
"""Where nothing else is said."""


def sizes_of(settings: TrainingSettings) -> TextSizes:
    """The sizes that the settings say."""
    return TextSizes(settings.text_terms, settings.text_axes)
