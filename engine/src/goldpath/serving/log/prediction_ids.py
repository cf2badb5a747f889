"""Random ids for predictions, as version 4 UUIDs (RFC 9562), made many at a time."""

import os
from collections.abc import Iterator

import numpy as np

IDS_A_CALL = 256
COUNTED = 48  # bits that count within one request


def prediction_ids() -> Iterator[str]:
    """Ids without end; 122 random bits each from the system's source.

    `uuid.uuid4` asks the system once an id and builds an object, which costs five times as much.
    """
    while True:
        text = os.urandom(16 * IDS_A_CALL).hex()
        for at in range(0, len(text), 32):
            part = text[at : at + 32]
            variant = "89ab"[int(part[16], 16) & 3]
            yield f"{part[:8]}-{part[8:12]}-4{part[13:16]}-{variant}{part[17:20]}-{part[20:]}"


def ids_of_a_request(first: str, count: int) -> list[str]:
    """Ids for the rows of one request: the first one, and its last 48 bits counted on."""
    prefix, start = first[:24], int(first[24:], 16)
    numbers = (start + np.arange(count, dtype=np.uint64)) % (1 << COUNTED)
    text = numbers.astype(">u8").tobytes().hex()
    return [prefix + text[at + 4 : at + 16] for at in range(0, 16 * count, 16)]
