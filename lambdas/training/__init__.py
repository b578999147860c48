"""Distributed training for AWS Lambda: the library in the coordinator's and the worker's image."""

from training.prediction import load_model

__all__ = ["load_model"]
