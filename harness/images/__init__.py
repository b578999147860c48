"""Container images: built from their sources, pulled, or built as stand-ins for images that cannot be pulled."""
