"""Redis behind the store port: ratings by id, summaries by app, and the poison ledger."""

import sys

# redis-py 8 imports OpenTelemetry's metrics wherever they are installed, for metrics that nobody turns on here: 0.06 to
# 0.15 s of every start. An import that finds None ends as if the package were missing, which redis-py takes.
_OTEL = ("opentelemetry", "opentelemetry.sdk.metrics", "opentelemetry.metrics")
_HIDDEN = [name for name in _OTEL if name not in sys.modules]
sys.modules.update(dict.fromkeys(_HIDDEN))  # type: ignore[arg-type]
try:
    import redis  # noqa: F401 - before its own modules do
finally:
    for _name in _HIDDEN:
        del sys.modules[_name]
