"""What things cost as they grow: ``python -m bench.curves``. Data and plots are kept in `docs/reference/curves`."""
