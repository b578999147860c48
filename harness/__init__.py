"""Rehearse distributed training on AWS Lambda on one machine, with the code and the services that run on AWS."""
