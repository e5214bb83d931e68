"""What rates: the classifier, the bundle that serves, reload, shadow, canary, drift and feedback."""
