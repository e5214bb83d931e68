"""From Keras weights to a TFLite graph that gives the same answers."""
