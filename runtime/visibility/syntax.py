"""The language of list filters: a text becomes a tree of what it says; no field is known here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NoReturn

from ..core.records import dataclass

LENGTH_MAX: Final = 10_000
"""Characters of a filter."""
DEPTH_MAX: Final = 20
"""Parentheses and NOTs within each other. SQLite's own parser takes about a hundred pending symbols, four a level."""
TESTS_MAX: Final = 500
"""Comparisons of a filter. SQLite takes trees of a thousand levels, and a chain of ANDs is one level each."""

KEYWORDS: Final = frozenset(
    "AND OR NOT IN BETWEEN IS NULL STARTS_WITH ORDER GROUP BY ASC DESC TRUE FALSE LIMIT LIKE".split()  # noqa: SIM905 - one line
)


class InvalidFilter(ValueError):
    """A filter that is none, with the place, what stands there, what was expected, and how to write it.

    `position` counts characters from 1.
    """

    def __init__(self, position: int, found: str, expected: str, example: str) -> None:
        super().__init__(
            f"at position {position} found {found}, expected {expected}; write for example: {example}"
        )
        self.position = position
        self.found = found
        self.expected = expected
        self.example = example


# -- what a filter says --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Name:
    """A field's name, and where it stands (from 1, as everywhere here)."""

    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value, as it was understood and as it was written."""

    value: str | int | float | bool
    position: int
    written: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field compared with values.

    `operator` is one of ``= < <= > >= IN BETWEEN STARTS_WITH NULL``; `negated` is set for ``!=`` and with NOT in
    the operator.
    """

    field: Name
    operator: str
    values: tuple[Literal, ...]
    negated: bool
    position: int


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class And:
    """All of these."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of these."""

    operands: tuple[Expression, ...]


Expression = Comparison | Not | And | Or


@dataclass(frozen=True, slots=True)
class Order:
    """One term of ORDER BY."""

    field: Name
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole filter."""

    where: Expression | None = None
    group: Name | None = None
    order: tuple[Order, ...] = ()


def parse_query(text: str) -> Query:
    """What a filter says.

    Raises:
        InvalidFilter: it is none.
    """
    return _Parser(_tokens(text)).query()


# -- tokens --------------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"""
      (?P<word>   [^\W\d]\w*(?:[.$@]\w+)*)
    | (?P<name>   `(?:[^`]|``)++`)
    | (?P<string> '(?:[^'\\]|\\.|'')*+')
    | (?P<either> "(?:[^"\\]|\\.|"")*+")
    | (?P<number> [-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![\w.]))
    | (?P<symbol> <=|>=|<>|!=|[=<>(),])
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE: Final = re.compile(r"\s*")
_ESCAPE: Final = re.compile(r"\\(.)|''|" '""', re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "0": "\0", "Z": "\x1a"}
_SYMBOL_OPERATORS: Final = frozenset(("=", "!=", "<>", "<", "<=", ">", ">="))


@dataclass(frozen=True, slots=True)
class _Token:
    """`kind` is a group of `_TOKEN`, or ``end``; ``either`` is a name or a string, by its place."""

    kind: str
    written: str
    position: int

    @property
    def keyword(self) -> str:
        """The keyword or symbol that this is, in upper case; empty for names and values."""
        if self.kind == "symbol":
            return self.written
        word = self.written.upper() if self.kind == "word" else ""
        return word if word in KEYWORDS else ""

    @property
    def shown(self) -> str:
        """For errors."""
        return "the end of the filter" if self.kind == "end" else _shown(self.written)


def _shown(written: str) -> str:
    return written if len(written) <= 60 else written[:57] + "..."


def _tokens(text: str) -> list[_Token]:
    _check_text(text)
    tokens: list[_Token] = []
    at = _end_of(_SPACE, text, 0)
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _refuse_character(text, at)
        tokens.append(_Token(match.lastgroup or "", match.group(), at + 1))
        at = _end_of(_SPACE, text, match.end())
    return [*tokens, _Token("end", "", at + 1)]


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _check_text(text: str) -> None:
    if len(text) > LENGTH_MAX:
        raise InvalidFilter(
            LENGTH_MAX + 1,
            f"a filter of {len(text)} characters",
            f"at most {LENGTH_MAX}",
            "WorkflowId STARTS_WITH 'order-', instead of many ids",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidFilter(
            error.start + 1, repr(text[error.start]), "Unicode text", "WorkflowId = 'order-1'"
        ) from None


_QUOTES: Final = {"'": "a closing '", '"': 'a closing "', "`": "a name and a closing `"}


def _refuse_character(text: str, at: int) -> NoReturn:
    rest = text[at:].split(maxsplit=1)[0]
    if rest[0] in _QUOTES:
        expected, example = (
            _QUOTES[rest[0]],
            "WorkflowId = 'it''s' (a quote within a string is written twice)",
        )
    elif rest[0].isdigit() or rest[0] in "+-.":
        expected, example = "a number, a string in quotes, or a name", "CustomInt = 5 AND WorkflowId = '5a'"
    else:
        expected, example = "a name, an operator or a value", "WorkflowId = 'order-1' AND CustomInt > 5"
    raise InvalidFilter(at + 1, _shown(rest), expected, example)


def _unescaped(written: str) -> str:
    """The content of a string token: doubled quotes are one, and backslashes as in MySQL, which Temporal follows."""
    quote = written[0]

    def replace(match: re.Match[str]) -> str:
        escaped: str | None = match.group(1)
        if escaped is None:
            return quote if match.group() == quote * 2 else match.group()
        return _ESCAPED.get(escaped, escaped)

    return _ESCAPE.sub(replace, written[1:-1])


def name_written(name: str) -> str:
    """A name as it must be written in a filter."""
    match = _TOKEN.fullmatch(name)
    if match is not None and match.lastgroup == "word" and name.upper() not in KEYWORDS:
        return name
    return f"`{name.replace('`', '``')}`"


def string_written(value: str) -> str:
    """A string as it must be written in a filter."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


# -- grammar -------------------------------------------------------------------------------------------


class _Parser:
    """Recursive descent; each method takes the tokens of what it returns."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._tests = 0

    def query(self) -> Query:
        """The whole filter."""
        where = None if self._next.keyword in ("ORDER", "GROUP") or self._next.kind == "end" else self._any()
        group = self._group() if self._taken("GROUP") else None
        order = self._order() if self._taken("ORDER") else ()
        if self._next.kind != "end":
            self._refuse_rest(group, order)
        return Query(where, group, order)

    # -- tokens

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def _taken(self, *keywords: str) -> bool:
        """Whether these came next; then they are taken."""
        found = tuple(token.keyword for token in self._tokens[self._at : self._at + len(keywords)])
        if found != keywords:
            return False
        self._at += len(keywords)
        return True

    def _need(self, keyword: str, example: str) -> None:
        if not self._taken(keyword):
            self._refuse(keyword, example)

    def _refuse(self, expected: str, example: str, token: _Token | None = None) -> NoReturn:
        token = token or self._next
        raise InvalidFilter(token.position, token.shown, expected, example)

    def _refuse_rest(self, group: Name | None, order: tuple[Order, ...]) -> NoReturn:
        keyword = self._next.keyword
        if keyword == ")":
            self._refuse("no ) without its (", "(WorkflowType = 'Order' OR WorkflowType = 'Refund')")
        if keyword == "LIMIT":
            self._refuse("no LIMIT", "list_workflows(query, limit=10)")
        if keyword == "," and group is not None and not order:
            self._refuse("one field in GROUP BY", f"GROUP BY {name_written(group.text)}")
        if group is not None or order:
            self._refuse(
                "the end of the filter", "WorkflowType = 'Order' ORDER BY StartTime DESC, WorkflowId"
            )
        self._refuse(
            "AND, OR, ORDER BY or GROUP BY", "WorkflowType = 'Order' AND ExecutionStatus = 'Running'"
        )

    # -- expressions

    def _any(self) -> Expression:
        operands = [self._all()]
        while self._taken("OR"):
            operands.append(self._all())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _all(self) -> Expression:
        operands = [self._one()]
        while self._taken("AND"):
            operands.append(self._one())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _one(self) -> Expression:
        if self._next.keyword == "NOT":
            return Not(self._deeper(self._one))
        if self._next.keyword == "(":
            inner = self._deeper(self._any)
            self._need(")", "(WorkflowType = 'Order' OR WorkflowType = 'Refund')")
            return inner
        return self._test()

    def _deeper(self, inner: Callable[[], Expression]) -> Expression:
        opening = self._take()
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self._refuse(
                f"at most {DEPTH_MAX} of ( and NOT within each other", "NOT (a = 1 OR b = 2)", opening
            )
        expression = inner()
        self._depth -= 1
        return expression

    def _name(self, example: str) -> Name:
        token = self._next
        if token.keyword or token.kind not in ("word", "name", "either"):
            self._refuse("the name of a field", example)
        self._take()
        written = token.written
        if token.kind == "either":
            written = _unescaped(written)
        elif token.kind == "name":
            written = written[1:-1].replace("``", "`")
        if not written:
            self._refuse("the name of a field", example, token)
        return Name(written, token.position)

    # -- comparisons

    def _test(self) -> Comparison:
        field = self._name("WorkflowType = 'Order'")
        self._tests += 1
        if self._tests > TESTS_MAX:
            raise InvalidFilter(
                field.position,
                "one comparison too many",
                f"at most {TESTS_MAX}",
                f"{name_written(field.text)} IN ('a', 'b')",
            )
        start = self._next
        negated = self._taken("NOT")
        parsed = self._word_operator(field) or (None if negated else self._symbol_operator(field))
        if parsed is None:
            self._refuse_operator(field)
        operator, values, opposite = parsed
        return Comparison(field, operator, values, negated or opposite, start.position)

    def _word_operator(self, field: Name) -> tuple[str, tuple[Literal, ...], bool] | None:
        """An operator that NOT may precede."""
        name = name_written(field.text)
        if self._taken("IN"):
            return "IN", self._list(name), False
        if self._taken("STARTS_WITH"):
            return "STARTS_WITH", (self._value(f"{name} STARTS_WITH 'order-'"),), False
        if self._taken("BETWEEN"):
            example = f"{name} BETWEEN 1 AND 5"
            low = self._value(example)
            self._need("AND", example)
            return "BETWEEN", (low, self._value(example)), False
        return None

    def _symbol_operator(self, field: Name) -> tuple[str, tuple[Literal, ...], bool] | None:
        name = name_written(field.text)
        if self._taken("IS"):
            negated = self._taken("NOT")
            self._need("NULL", f"{name} IS {'NOT ' if negated else ''}NULL")
            return "NULL", (), negated
        operator = self._next.keyword
        if operator not in _SYMBOL_OPERATORS:
            return None
        self._take()
        if self._next.keyword == "NULL":
            opposite = operator in ("!=", "<>")
            self._refuse("a value", f"{name} IS {'NOT ' if opposite else ''}NULL")
        value = self._value(f"{name} {operator} 'order-1'")
        return ("=", (value,), True) if operator in ("!=", "<>") else (operator, (value,), False)

    def _refuse_operator(self, field: Name) -> NoReturn:
        name = name_written(field.text)
        if field.text.upper() == "WHERE":
            self._refuse("the condition alone, without WHERE", "WorkflowType = 'Order'")
        if self._next.keyword == "LIKE":
            self._refuse("STARTS_WITH, which takes the beginning of a value", f"{name} STARTS_WITH 'order-'")
        expected = "an operator (=, !=, >, >=, <, <=, IN, NOT IN, BETWEEN, IS NULL, STARTS_WITH)"
        self._refuse(expected, f"{name} = 'order-1'")

    def _list(self, name: str) -> tuple[Literal, ...]:
        example = f"{name} IN ('a', 'b')"
        self._need("(", example)
        values = [self._value(example)]
        while self._taken(","):
            values.append(self._value(example))
        if not self._taken(")"):
            self._refuse(", or )", example)
        return tuple(values)

    def _value(self, example: str) -> Literal:
        token = self._next
        value = _value_of(token)
        if value is None:
            if token.kind in ("word", "name") and not token.keyword:
                self._refuse("a value; strings stand in quotes", string_written(token.written.strip("`")))
            self._refuse("a value: a string in quotes, a number, true or false", example)
        self._take()
        return Literal(value, token.position, token.shown)

    # -- order and groups

    def _order(self) -> tuple[Order, ...]:
        example = "ORDER BY StartTime DESC, WorkflowId"
        self._need("BY", example)
        terms = [self._order_term(example)]
        while self._taken(","):
            terms.append(self._order_term(example))
        return tuple(terms)

    def _order_term(self, example: str) -> Order:
        name = self._name(example)
        descending = self._taken("DESC")
        if not descending:
            self._taken("ASC")
        return Order(name, descending)

    def _group(self) -> Name:
        self._need("BY", "GROUP BY ExecutionStatus")
        return self._name("GROUP BY ExecutionStatus")


def _value_of(token: _Token) -> str | int | float | bool | None:
    if token.kind in ("string", "either"):
        return _unescaped(token.written)
    if token.kind == "number":
        whole = token.written.lstrip("+-").isdigit()
        # Python refuses to read numbers of thousands of digits.
        return int(token.written) if whole and len(token.written) <= 40 else float(token.written)
    return {"TRUE": True, "FALSE": False}.get(token.keyword)
