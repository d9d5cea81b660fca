"""A farm: simulated field devices, the workflows that run it, and a demo that starts both."""
