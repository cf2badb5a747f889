"""A body that is no JSON for a common reason is told that reason, and what to send."""

import codecs
import gzip

import pytest

from goldpath.serving.http.json_bodies import parse_json
from goldpath.serving.http.problem_error import ProblemError

BODY = b'{"features": {"n": 1}}'


@pytest.mark.parametrize(
    ("body", "said", "fix"),
    [
        (b"", "the body is empty", "send a JSON object"),
        (b" \r\n", "the body is empty", "send a JSON object"),
        (codecs.BOM_UTF8 + BODY, "byte order mark", "without one"),
        (gzip.compress(BODY, mtime=0), "compressed with gzip", "uncompressed"),
        (BODY.decode().encode("utf-16"), "not UTF-8", "UTF-8"),
        (b"n=1", "not JSON", "correct the JSON"),
    ],
)
def test_reason_and_what_to_send_are_named(body: bytes, said: str, fix: str) -> None:
    with pytest.raises(ProblemError) as refused:
        parse_json(body)
    assert said in refused.value.detail
    assert fix in refused.value.fix
