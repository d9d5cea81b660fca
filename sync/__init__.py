"""Histories on their way out of the gateway: the journal's changes, in the order in which they were committed."""
