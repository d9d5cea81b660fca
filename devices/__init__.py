"""Devices as workflows see them: what can be asked of them, and that they answer."""
