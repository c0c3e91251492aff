"""Readers: one file per log format."""
