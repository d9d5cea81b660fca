"""The seed of a run is the one that Temporal's SDK gives it."""

from __future__ import annotations

import pytest

from overwinter.runtime.core.seed import seed_of


@pytest.mark.parametrize(
    ("run_id", "seed"),
    [
        # Observed as `workflow.random_seed()` in temporalio 1.35 while it replayed a run of this id.
        ("af6b802e-0485-4953-9625-c46e9b2243e6", 11426486551958639002),
        ("x", 8312289520117458465),
        ("", 3476900567878811119),
    ],
)
def test_a_run_id_has_the_seed_that_temporal_gives_it(run_id: str, seed: int) -> None:
    assert seed_of(run_id) == seed
