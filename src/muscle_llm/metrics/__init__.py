"""Metrics and statistics of updates: pure functions of arrays."""
