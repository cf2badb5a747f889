"""Mutants of good requests: bytes changed, cut, repeated, spliced, and tokens swapped."""

import random
from collections.abc import Callable

TOKENS = [
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-0.0", b"1E5", b"01", b"0x1", b"9" * 400),
    *(b"null", b"true", b"false", b'""', b"[]", b"{}", b"[[[", b"}}}", b'"\\ud800"', b'"\\u0000"'),
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\", b'"', b":", b",", b"{", b"}"),
    *(b"9007199254740993", b"1.5", b"-1", b"13", b"1e-400", b'"n/a"', b'" one"', b"\r\n", b"\t"),
    *(b"features", b"instances", b"class", b"schema", b"free text", b"entity_key", b"customer_id"),
]
Mutation = Callable[[bytearray, random.Random], None]


def mutate(good: bytes, dice: random.Random) -> bytes:
    """Change a request in one to three places."""
    content = bytearray(good)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        if content:
            dice.choice(MUTATIONS)(content, dice)
    return bytes(content)


def _flip(content: bytearray, dice: random.Random) -> None:
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def _put(content: bytearray, dice: random.Random) -> None:
    content[dice.randrange(len(content))] = dice.randrange(256)


def _remove(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(content))
    del content[start : start + dice.choice((1, 1, 2, 8, 30))]


def _cut(content: bytearray, dice: random.Random) -> None:
    del content[dice.randrange(len(content)) :]


def _insert(content: bytearray, dice: random.Random) -> None:
    place = dice.randrange(len(content) + 1)
    content[place:place] = dice.choice(TOKENS)


def _repeat(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(content))
    piece = content[start : start + dice.randrange(1, 40)]
    content[start:start] = piece * dice.choice((1, 1, 2, 50))


def _swap(content: bytearray, dice: random.Random) -> None:
    one, other = sorted((dice.randrange(len(content)), dice.randrange(len(content))))
    length = min(dice.randrange(1, 20), other - one)
    content[one : one + length], content[other : other + length] = (
        content[other : other + length],
        content[one : one + length],
    )


def _replace_value(content: bytearray, dice: random.Random) -> None:
    """What stands between a colon and the next comma or brace."""
    colons = [place for place, byte in enumerate(content) if byte == ord(":")]
    if not colons:
        return
    start = dice.choice(colons) + 1
    ends = [place for end in b",}" if (place := content.find(end, start)) >= 0]
    content[start : min(ends, default=len(content))] = dice.choice(TOKENS)


def _change_digit(content: bytearray, dice: random.Random) -> None:
    digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    if digits:
        content[dice.choice(digits)] = ord(dice.choice("0123456789.-eE"))


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _put, _remove, _cut, _insert, _repeat, _swap),
    *(_replace_value, _replace_value, _change_digit, _change_digit, _change_digit),
)
