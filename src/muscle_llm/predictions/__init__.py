"""Predictions: the one table that every log becomes."""
