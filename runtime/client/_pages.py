"""Lists that a client fetches a page at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Pages(Generic[T]):
    """What a list has, from the newest on."""

    def __init__(
        self,
        fetch: Callable[[int | None, int], Awaitable[tuple[list[T], int | None]]],
        *,
        page_size: int,
        limit: int | None,
        before: int | None = None,
    ) -> None:
        self._fetch = fetch
        self._page_size = page_size
        self._left = limit
        self._before = before
        self._more = True
        self._page: list[T] = []
        self._index = 0

    @property
    def current_page_index(self) -> int:
        """The place of the next one in the page."""
        return self._index

    @property
    def current_page(self) -> Sequence[T] | None:
        """The page that was fetched last."""
        return self._page or None

    @property
    def next_page_token(self) -> bytes | None:
        """Where the next page begins; None when there is none."""
        return str(self._before).encode() if self._more and self._before is not None else None

    async def fetch_next_page(self, *, page_size: int | None = None) -> None:
        """Fetch the next page, whatever is left of this one."""
        size = page_size or self._page_size
        if self._left is not None:
            size = min(size, self._left)
        self._page, self._before = await self._fetch(self._before, size) if size else ([], None)
        if self._left is not None:
            self._left -= len(self._page)
        self._more = self._before is not None and self._left != 0
        self._index = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while self._index >= len(self._page):
            if not self._more:
                raise StopAsyncIteration
            await self.fetch_next_page()
        self._index += 1
        return self._page[self._index - 1]
