"""Rates history again with another model, in a consumer group of its own."""
