"""List filters: Temporal's language for finding executions, for SQLite and for records in memory.

The grammar is in `syntax`, the fields in `fields`, what a filter means where values are absent in `meaning`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..core.records import dataclass
from .fields import Scalar, Scope
from .meaning import Meaning, meaning_of
from .predicate import Listed, Record, SortKey, group_key, matches, sort_key, within
from .sql import CompiledFilter, compile_meaning
from .syntax import InvalidFilter, parse_query

__all__ = [
    "CompiledFilter",
    "Filter",
    "InvalidFilter",
    "Listed",
    "Record",
    "Scalar",
    "Scope",
    "SortKey",
    "parse",
]


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was understood: the same question for SQLite and for records in memory."""

    meaning: Meaning

    def sql(self) -> CompiledFilter:
        """The filter for the tables of a journal."""
        return compile_meaning(self.meaning)

    def matches(self, record: Record) -> bool:
        """Whether the record fits."""
        return within(self.meaning.scope, record) and matches(self.meaning.condition, record)

    def sort_key(self, record: Record) -> SortKey:
        """Sorts records as `CompiledFilter.order_by` does; without an order the newest first."""
        return sort_key(self.meaning, record)

    def group_key(self, record: Record) -> tuple[Scalar | None, ...]:
        """What `CompiledFilter.group_by` selects for the record; empty without groups."""
        return group_key(self.meaning, record)


def parse(text: str, attribute_types: Mapping[str, str], scope: Scope = Scope.ANY) -> Filter:
    """The filter of a text; an empty one is met by all executions that it is about.

    `attribute_types` has the type of each search attribute: Text, Keyword, Int, Double, Bool, Datetime, KeywordList.

    Raises:
        InvalidFilter: the text is no filter.
    """
    return Filter(meaning_of(parse_query(text), attribute_types, scope))
