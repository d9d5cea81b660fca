"""Schedules, as a client makes them and changes them."""

from __future__ import annotations


class ScheduleCalls:
    """To be filled."""


class ScheduleMethods:
    """To be filled."""
