"""A study: remedies x seeds x updates x tasks as one resumable grid, judged over seeds and instances."""
