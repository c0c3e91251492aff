"""Training of task adapters and compatibility adapters."""
