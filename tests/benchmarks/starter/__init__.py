"""Trains the starter, which is in `schemas/starter/`, and measures it group by group for its model card."""
