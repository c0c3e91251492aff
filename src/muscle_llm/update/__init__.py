"""A whole model update: adapters, predictions, remedies, comparison; stage by stage, resumable."""
