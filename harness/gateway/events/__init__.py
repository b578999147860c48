"""Asynchronous events: their queue's clock and journal, and what follows when they end."""
