"""The figures of a gateway's status as a page for Prometheus (text format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from .ports import Json

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECTIONS: Final = ("journal", "disk", "retention", "limits", "mqtt", "clients", "outbox", "engine")


def page(status: Json) -> str:
    """Every number of the status, named by its section and key; counts by reason have a label."""
    return "".join(line + "\n" for section in _SECTIONS for line in _section(section, status.get(section)))


def _section(section: str, found: Any) -> Iterator[str]:
    if not isinstance(found, dict):
        return
    for key, value in cast("Json", found).items():
        name = f"overwinter_{section}_{key}"
        if isinstance(value, dict):
            for reason, count in cast("Json", value).items():
                if isinstance(count, int | float):
                    yield f'{name}{{reason="{_escaped(str(reason))}"}} {_number(count)}'
        elif isinstance(value, int | float):
            yield f"{name} {_number(value)}"


def _number(value: float) -> str:
    return repr(float(value)) if isinstance(value, float) else str(int(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
