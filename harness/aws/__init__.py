"""Clients of AWS's services, AWS's errors in a user's terms, and functions created by the Lambda API."""
