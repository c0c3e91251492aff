"""Predicting: a model on a task becomes a table of predictions."""
