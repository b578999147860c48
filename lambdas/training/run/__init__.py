"""One worker's part in a run: its folder in S3, checkpoints, the time limit, the model file."""
