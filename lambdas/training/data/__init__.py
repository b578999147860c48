"""A worker's partition: parsed from its format and checked against its manifest, with its labels."""
