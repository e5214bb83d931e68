"""The short commands: `check` and `predict`."""
