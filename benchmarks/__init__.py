"""Benchmarks: each prints a table of ratios and its environment."""
