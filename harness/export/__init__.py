"""Exports: a trained model as scikit-learn's estimator, as PyTorch's module, or as an ONNX graph."""
