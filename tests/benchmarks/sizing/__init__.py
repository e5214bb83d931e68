"""How many of everything a stream of some size takes: arithmetic on what was measured; see `__main__`."""
