"""Images before they go to AWS: verified in a stack, recorded by digest, listed, pushed."""
