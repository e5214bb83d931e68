"""One worker process: the composition root, the supervisor of `--processes`, and the children's status."""
