#!/bin/sh
# The trainer image's entry point. With arguments it runs `python -m trainer`. Without, it trains on the sample set, so
# that `docker compose --profile trainer run --rm trainer` publishes a bundle that workers can load.
set -eu
if [ "$#" -gt 0 ]; then
    exec python -m trainer "$@"
fi
sample="${XDG_CACHE_HOME:-/cache}/sample.csv"
python -m trainer sample --out "$sample"
exec python -m trainer train --data "$sample"
