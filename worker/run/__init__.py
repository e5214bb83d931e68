"""The `run` command: one worker process, or several under a supervisor."""
