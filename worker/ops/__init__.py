"""What operators see and send: health, metrics, logs, the HTTP server, progress, signals."""
