"""Container images: built from this clone, pulled, or made as stand-ins for what cannot be pulled."""
