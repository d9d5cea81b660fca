"""The names that Temporal's SDK gives its users, beside ours."""
