"""Where settled reviews go: `redis` keeps each rating by id, `topic` publishes it and commits what was read."""
