"""Event source mappings: queues that are polled, and whose messages invoke functions in batches."""
