"""What went wrong, as authors of failure converters know it."""
