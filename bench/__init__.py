"""Measurements: ``python -m bench``. Each engine takes its turn in the same run, beside the limit of this machine."""
