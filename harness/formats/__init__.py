"""Runs for other viewers: TensorBoard, Perfetto, OpenTelemetry, MLflow, and tables; each written from a run's view."""
