"""A partition of the data: read from its formats, checked against its manifest, with its labels."""
