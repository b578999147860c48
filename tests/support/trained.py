"""Trained models for tests."""

import numpy as np

from training.run.model_file import TrainedModel


def trained_model(**changes):
    """Return a logistic regression that picks the second class where feature 1 is above feature 2."""
    return TrainedModel(
        model="lr",
        parameters=np.array([1, -1, 0, 0], np.float32),
        data_type="dense_libsvm",
        n_features=3,
        n_classes=2,
        hidden_units=64,
        scaling=None,
    )._replace(**changes)
