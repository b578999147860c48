"""What runs and deployments share about AWS: clients, errors as users read them, functions created or updated."""
