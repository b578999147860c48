"""The images' way to AWS: verified in a stack, recorded by digest, listed, pushed."""
