"""Every name of Temporal's SDK is here with the same parameters, or a reason says why not."""

from __future__ import annotations

import pytest

pytest.importorskip("temporalio", reason="pip install temporalio, to compare its names with ours")

from . import names


@pytest.mark.parametrize("module", names.MODULES)
def test_every_name_is_the_same_or_its_difference_is_meant(module: str) -> None:
    known = names.Known.load()
    mine = [finding for finding in names.compare() if finding.module == module]
    still_open = {finding.path: known.open(finding) for finding in mine}
    lines = [f"  {path}: {', '.join(issues)}" for path, issues in still_open.items() if issues]
    assert not lines, (
        f"{len(lines)} names of temporalio.{module} are absent or differ; offer them as they are there, or say "
        "in tests/compatibility/known.toml why not:\n" + "\n".join(lines)
    )


def test_no_entry_is_stale() -> None:
    stale = names.Known.load().stale(names.compare())
    assert not stale, "these entries of tests/compatibility/known.toml are not needed:\n" + "\n".join(stale)


def test_a_lost_parameter_and_another_default_are_seen() -> None:
    def theirs(one: int, *, two: str = "a", three: bool = False) -> None: ...
    def ours(one: int, *, two: str = "b", four: int = 1) -> None: ...

    (finding,) = names._compare("client.f", theirs, ours)
    assert finding.issues == ("two defaults to 'b', not 'a'", "without three", "also four")


def test_a_lost_member_is_seen() -> None:
    class Theirs:
        def kept(self) -> None: ...
        def lost(self) -> None: ...

    class Ours:
        def kept(self, more: int = 0) -> None: ...

    found = {finding.path: finding for finding in names._compare("client.C", Theirs, Ours)}
    assert found["client.C.lost"].verdict == "absent"
    assert found["client.C.kept"].issues == ("also more",)
