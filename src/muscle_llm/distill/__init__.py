"""Distillation with two teachers chosen per token: pure losses and masks."""
