"""Distributed training for AWS Lambda: the library in the coordinator's and the worker's image."""
