"""What a function logs, what Lambda adds to it, and the metrics of both."""
