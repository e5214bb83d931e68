"""The registry's commands: list, show, publish, promote, rollback, history, prune, verify."""
