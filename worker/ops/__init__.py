"""What operators see: health, metrics, logs, and the HTTP server; and the signals they send."""
