"""Modules that authors of converters import by the names of ``temporalio.api``: what a payload is, and no more."""
