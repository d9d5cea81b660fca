"""Histories in Temporal's form: ours written as its events, and its events read as ours.

What one side has and the other has not is described in docs/reference/histories.md.
"""
