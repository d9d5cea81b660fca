"""Identifiers of runs sort by the time they began."""

from __future__ import annotations

import uuid

from overwinter.runtime.clock import SystemEntropy
from overwinter.runtime.identifiers import uuid7


def test_an_identifier_holds_its_time_and_the_drawn_bits() -> None:
    found = uuid7(1_700_000_000_123_456, lambda bits: (1 << bits) - 1)
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == 1_700_000_000_123
    assert found.int & ((1 << 62) - 1) == (1 << 62) - 1


def test_run_ids_differ_and_say_when_they_were_made() -> None:
    entropy = SystemEntropy()
    found = [uuid.UUID(entropy.run_id()) for _ in range(50)]
    assert len(set(found)) == 50
    assert {each.version for each in found} == {7}
    times = [each.int >> 80 for each in found]
    assert times == sorted(times)
