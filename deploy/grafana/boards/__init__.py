"""One dashboard a file, each an answer to one question. A query stands on one line, as Prometheus gets it."""

from deploy.grafana.boards.apps import APPS
from deploy.grafana.boards.delivery import DELIVERY
from deploy.grafana.boards.models import MODELS
from deploy.grafana.boards.overview import OVERVIEW
from deploy.grafana.boards.rest import REST
from deploy.grafana.boards.speed import SPEED
from deploy.grafana.boards.stars import STARS
from deploy.grafana.boards.workers import WORKERS

# By the name of the file; the first is the home page.
BOARDS = {
    "starstream": OVERVIEW,
    "delivery": DELIVERY,
    "speed": SPEED,
    "workers": WORKERS,
    "stars": STARS,
    "apps": APPS,
    "models": MODELS,
    "rest": REST,
}
