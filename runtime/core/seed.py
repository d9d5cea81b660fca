"""The seed of an execution's random numbers, which follows from its run id as it does in Temporal.

There it is the id's SipHash-1-3 with a key of zeros (Rust's default hasher over a string), so that a history which
goes from one to the other brings its random numbers along: identifiers that were drawn, and children named by them.
"""

from __future__ import annotations

from typing import Final

_MASK: Final = (1 << 64) - 1
_INITIAL: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_State = tuple[int, int, int, int]


def seed_of(run_id: str) -> int:
    """The seed of this run, 64 bits."""
    data = run_id.encode() + b"\xff"  # A string is hashed with a byte behind it that no text has.
    whole = len(data) - len(data) % 8
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    state = _INITIAL
    for word in words:
        v0, v1, v2, v3 = _round((state[0], state[1], state[2], state[3] ^ word))
        state = (v0 ^ word, v1, v2, v3)
    state = (state[0], state[1], state[2] ^ 0xFF, state[3])
    for _ in range(3):
        state = _round(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _round(state: _State) -> _State:
    v0, v1, v2, v3 = state
    v0 = v0 + v1 & _MASK
    v1 = _rotated(v1, 13) ^ v0
    v2 = v2 + v3 & _MASK
    v3 = _rotated(v3, 16) ^ v2
    v0 = _rotated(v0, 32) + v3 & _MASK
    v3 = _rotated(v3, 21) ^ v0
    v2 = v2 + v1 & _MASK
    v1 = _rotated(v1, 17) ^ v2
    return v0, v1, _rotated(v2, 32), v3


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 64 - bits) & _MASK
