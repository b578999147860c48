"""Function URLs: addresses over HTTP, whose requests invoke functions."""
