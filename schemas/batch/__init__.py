"""Many texts at once: as bytes, as ids in one array."""
