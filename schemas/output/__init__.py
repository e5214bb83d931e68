"""The rating as other systems take it."""
