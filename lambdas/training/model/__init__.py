"""Models: loss beside its gradient, over flat float32 parameters; they know arrays, never channels."""
