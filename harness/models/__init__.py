"""Models of users' own, checked before a run: their gradient, what depends on the rank, their sizes."""
