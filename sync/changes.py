"""The journal's change stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from overwinter.runtime.ports import Change, Journal

_PAGE: Final = 500


async def follow(
    journal: Journal, after_lsn: int, next_commit: Callable[[], Awaitable[None]]
) -> AsyncIterator[Change]:
    """Every committed event after `after_lsn`, in the order of commits, without a gap; then those to come.

    `next_commit` returns when another commit was made. Where the stream has come to is the last change's `lsn`:
    whoever keeps it can go on from there.
    """
    while True:
        # Asked for before the page is read: a commit in between then ends the wait at once.
        committed = next_commit()
        page = await journal.changes(after_lsn, _PAGE)
        for change in page:
            yield change
        if page:
            after_lsn = page[-1].lsn
        if len(page) < _PAGE:
            await committed
