"""The types of resources that stacks may have, by AWS service."""
