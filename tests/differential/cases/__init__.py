"""Workflows written for `temporalio`; `observe` says what a file of cases holds."""
