"""Hyperparameter search: studies of trials, drawn at random or halved successively, each trial a normal run."""
