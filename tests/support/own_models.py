"""Models as users write them, in files outside of any project."""

from pathlib import Path

# A model of NumPy: quick to start, and its gradient is exact.
SOFTMAX = '''
"""Softmax regression."""

import numpy as np


class Softmax:
    def __init__(self, n_features, n_classes):
        self.shape = (n_features + 1, n_classes)

    def initial(self, seed):
        return np.random.default_rng(seed).normal(0, 0.01, np.prod(self.shape)).astype(np.float32)

    def loss_and_gradient(self, parameters, x, y):
        x, p = self._scores(parameters, x)
        loss = float(-np.log(p[np.arange(len(y)), y]).sum())
        p[np.arange(len(y)), y] -= 1
        return loss, (x.T @ p).ravel(), len(y)

    def evaluate(self, parameters, x, y):
        _, p = self._scores(parameters, x)
        return float(-np.log(p[np.arange(len(y)), y]).sum()), len(y), p

    def predict(self, parameters, x):
        return self._scores(parameters, x)[1]

    def _scores(self, parameters, x):
        x = np.hstack([x, np.ones((len(x), 1), np.float32)])
        scores = np.exp(x @ parameters.reshape(self.shape))
        return x, scores / scores.sum(axis=1, keepdims=True)
'''
# Thirty lines of PyTorch: mixed shapes, buffers, dropout.
NET = '''
"""A small network with batch norm."""

import torch
from torch import nn


class Net(nn.Module):
    """Two layers."""

    def __init__(self, n_features, n_classes, hidden=12):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm1d(n_features)
        self.first = nn.Linear(n_features, hidden)
        self.second = nn.Linear(hidden, n_classes)

    def forward(self, x):
        x = torch.relu(self.first(self.norm(x)))
        return self.scale * self.second(x)
'''


def softmax_file(folder: Path) -> Path:
    """Writes the model of NumPy and returns its file."""
    return _written(folder / "softmax_model.py", SOFTMAX)


def net_file(folder: Path) -> Path:
    """Writes the network and returns its file."""
    return _written(folder / "net_model.py", NET)


def _written(path: Path, text: str) -> Path:
    path.write_text(text.lstrip(), encoding="utf-8")
    return path
