"""Metrics: pure functions of arrays and counts."""
