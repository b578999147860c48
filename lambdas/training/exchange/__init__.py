"""The exchange: frames, channels and collectives; it knows bytes and ranks, never models."""
