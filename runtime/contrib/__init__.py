"""Modules that authors import by the names of ``temporalio.contrib``."""
