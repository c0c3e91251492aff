"""The offline world of `muscle-llm demo`."""
