"""The front: REST routes and a page, in a process of its own beside the stream."""
