"""What operators see and send: health, metrics, logs, the HTTP server, progress, signals."""

from worker.environment import choose_metrics_folder

# Before anything imports prometheus-client, which reads its variable at import and ends with a traceback when the
# folder that it names is not there. Not in `worker` itself: a program that imports `worker.Model` has its own metrics.
choose_metrics_folder()
