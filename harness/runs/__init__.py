"""A run from job to result: partition, create functions, invoke, follow, summarise."""
