"""Tasks: what is asked, how it is scored, and the text an adapter learns from."""
