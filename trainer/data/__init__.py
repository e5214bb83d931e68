"""Labelled rows: read, cleaned, split, sampled."""
