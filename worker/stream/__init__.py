"""The core: the loop, its ports, and the rules that need no client."""
