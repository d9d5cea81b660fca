"""Executions, their events and their times as people read them: plain values for pages and programs, text for terminals."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
"""A JSON object; instants in it are ISO 8601, UTC."""
