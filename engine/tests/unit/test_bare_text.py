"""Text is stripped in SQL as `strip` does it, whatever its ends are."""

import ibis
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goldpath.lake.bare_text import FIRST_OTHER, WHITESPACE, stripped

EDGES = st.text(alphabet=[*WHITESPACE, "!", "a", "7", "é", "\u0600", "\u200d", "\x00", "\x1f"])
TEXTS = st.one_of(st.none(), EDGES, st.text(st.characters(exclude_categories=["Cs"])))


def test_each_whitespace_sorts_before_what_a_bare_text_begins_with() -> None:
    assert max(WHITESPACE) < FIRST_OTHER


@settings(max_examples=100, deadline=None)
@example(["", " ", "\u0600 ", " x", "x\r\n", "x\x0b", "\x1fx", None, "no", "!"])
@given(st.lists(TEXTS, min_size=1, max_size=20))
def test_it_is_strip(texts: list[str | None]) -> None:
    rows = ibis.memtable(pd.DataFrame({"text": pd.array(texts, dtype="string")}))
    found = rows.select(short=stripped(rows.text), usual=rows.text.strip()).to_pyarrow()
    assert found["short"].to_pylist() == found["usual"].to_pylist()
