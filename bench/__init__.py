"""Measurements: ``python -m bench``. Each figure stands beside the raw limit of the same disk, taken in the same run."""
