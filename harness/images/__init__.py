"""Container images: built from this clone, pulled, or built as stand-ins for images that cannot be pulled."""
