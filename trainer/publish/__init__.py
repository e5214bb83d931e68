"""A trained model becomes a bundle with its report, and a channel points at it."""
