"""Channels: the key-value stores that carry frames between ranks, one module each behind one interface."""
