"""Free text as two numbers that can be compared: how long it is, and how much of it is new.

A text column is compared by its number of words and by the share of its words that the training
rows did not have. The words are kept as hashes, so the profile holds no text. A training row is
compared as if it were new: of its words those are unknown that no other row has, which is as many
as are unknown in a new row (Good 1953).
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from goldpath.domain import words_of

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class KnownWords:
    """The words of a text column in the training rows, as hashes in ascending order.

    Attributes:
        several: Words of several rows, shape (words,).
        once: Words of one row, shape (words,).
    """

    several: Hashes
    once: Hashes


def text_columns(name: str) -> tuple[str, str]:
    """What the two numbers of a text column are called."""
    return f"{name} (words)", f"{name} (share of new words)"


def known_words(rows: pa.Table, names: Collection[str]) -> dict[str, KnownWords]:
    """The words of the training rows, by text column.

    Args:
        rows: All training rows.
        names: The text columns; those that the rows lack are passed over.
    """
    found = {}
    for name in names:
        if name not in rows.column_names:
            continue
        counts: Counter[str] = Counter()
        for text in rows[name].to_pylist():
            if text is not None:
                counts.update(set(words_of(text)))
        found[name] = KnownWords(
            several=_hashes([word for word, count in counts.items() if count > 1]),
            once=_hashes([word for word, count in counts.items() if count == 1]),
        )
    return found


def measured(
    rows: pa.Table, known: Mapping[str, KnownWords], *, in_training: bool = False
) -> pa.Table:
    """The rows with two numbers in place of each text column; missing where the text is.

    Args:
        rows: The rows to compare.
        known: What `known_words` gives; other columns stay as they are.
        in_training: Whether these are the training rows themselves, or some of them.

    Example:
        >>> training = pa.table({"note": ["late again", "late order", "no order"]})
        >>> known = known_words(training, ["note"])
        >>> new = measured(pa.table({"note": ["late parcel", None]}), known)
        >>> new.to_pydict()
        {'note (words)': [2, None], 'note (share of new words)': [0.5, None]}
        >>> measured(training, known, in_training=True)["note (share of new words)"].to_pylist()
        [0.5, 0.0, 0.5]
    """
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name in rows.column_names:
        if name not in known:
            columns[name] = rows[name]
            continue
        length, share = text_columns(name)
        columns[length], columns[share] = _measured(
            rows[name].to_pylist(), known[name], in_training=in_training
        )
    return pa.table(columns)


def _measured(
    texts: list[str | None], known: KnownWords, *, in_training: bool
) -> tuple[pa.Array, pa.Array]:
    split = [None if text is None else words_of(text) for text in texts]
    different = sorted({word for words in split if words for word in words})
    hashes = _hashes_in_order(different)
    is_old = np.isin(hashes, known.several)
    if not in_training:
        is_old |= np.isin(hashes, known.once)
    new = {word for word, old in zip(different, is_old, strict=True) if not old}
    lengths = [None if words is None else len(words) for words in split]
    shares = [sum(word in new for word in words) / len(words) if words else None for words in split]
    return pa.array(lengths, pa.int64()), pa.array(shares, pa.float64())


def _hashes(words: list[str]) -> Hashes:
    return np.sort(_hashes_in_order(words))


def _hashes_in_order(words: list[str]) -> Hashes:
    digests = b"".join(hashlib.blake2b(word.encode(), digest_size=8).digest() for word in words)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
