"""What reviewers say of the apps that WORKER_APP_METRICS names, for product people."""

from deploy.grafana.panel import Board, Panel, Section

_NO_APPS = "WORKER_APP_METRICS names no app, or none was reviewed"
_NO_VERSIONS = "WORKER_APP_METRICS names no app, WORKER_APP_METRICS_VERSIONS is 0, or none was reviewed"
# To the page of the app whose line was clicked.
_TO_PAGE = "${page}/?app=${__field.labels.app_id}&by=version&words=version"

APPS = Board(
    uid="starstream-apps",
    title="Starstream: apps",
    question="Which app, and which version of it, do reviewers like less than before?",
    events=("New model",),
    filters=(("app", "App", 'label_values(starstream_app_ratings_total{job=~"$job"}, app_id)'),),
    since="now-14d",
    sections=(
        Section(
            "",
            (
                Panel(
                    "Stars by app",
                    "Mean stars of the day before each point. A click on a line leads to the app's page.",
                    (('job_app_id:starstream_app_stars:mean1d{job=~"$job", app_id=~"$app"}', "{{app_id}}"),),
                    see="StarstreamAppStarsDropped",
                    unit="none",
                    decimals=2,
                    maximum=5,
                    minimum=1,
                    empty=_NO_APPS,
                    link=("The app's page", _TO_PAGE),
                ),
                Panel(
                    "Stars by app and version",
                    "Mean stars of the day before each point, of the newest versions; older ones are `other`.",
                    (
                        (
                            'job_app_id_app_version:starstream_app_version_stars:mean1d{job=~"$job", app_id=~"$app"}',
                            "{{app_id}} {{app_version}}",
                        ),
                    ),
                    see="StarstreamAppStarsDropped",
                    unit="none",
                    decimals=2,
                    maximum=5,
                    minimum=1,
                    empty=_NO_VERSIONS,
                    link=("The app's page", _TO_PAGE),
                ),
                Panel(
                    "Reviews by app",
                    "Ratings of the day before each point.",
                    (('job_app_id:starstream_app_ratings:increase1d{job=~"$job", app_id=~"$app"}', "{{app_id}}"),),
                    see="StarstreamAppStarsDropped",
                    unit="none",
                    empty=_NO_APPS,
                ),
                Panel(
                    "Reviews by version",
                    "Share of each version among an app's ratings: how far a release has come.",
                    (
                        (
                            'sum by (app_id, app_version) (rate(starstream_app_version_ratings_total{job=~"$job", app_id=~"$app"}[$__rate_interval])) / on (app_id) group_left () (sum by (app_id) (rate(starstream_app_version_ratings_total{job=~"$job", app_id=~"$app"}[$__rate_interval])) > 0)',
                            "{{app_id}} {{app_version}}",
                        ),
                    ),
                    see="StarstreamAppStarsDropped",
                    unit="percentunit",
                    maximum=1,
                    empty=_NO_VERSIONS,
                ),
                Panel(
                    "One and two stars by app",
                    "Share of the ratings.",
                    (
                        (
                            'sum by (app_id) (rate(starstream_app_ratings_total{job=~"$job", app_id=~"$app", rating=~"1|2"}[$__rate_interval])) / (sum by (app_id) (rate(starstream_app_ratings_total{job=~"$job", app_id=~"$app"}[$__rate_interval])) > 0)',
                            "{{app_id}}",
                        ),
                    ),
                    see="StarstreamAppStarsDropped",
                    unit="percentunit",
                    maximum=1,
                    empty=_NO_APPS,
                ),
                Panel(
                    "Uncertain ratings and contradictions by app",
                    "Share of the ratings that are uncertain, or whose author's stars contradict the text.",
                    (
                        (
                            'sum by (app_id, mark) (rate(starstream_app_marked_total{job=~"$job", app_id=~"$app"}[$__rate_interval])) / on (app_id) group_left () (sum by (app_id) (rate(starstream_app_ratings_total{job=~"$job", app_id=~"$app"}[$__rate_interval])) > 0)',
                            "{{app_id}} {{mark}}",
                        ),
                    ),
                    see="StarstreamAppStarsDropped",
                    unit="percentunit",
                    empty=_NO_APPS,
                ),
                Panel(
                    "Labels of each app",
                    "Labels a second given to an app's reviews, when the model gives labels.",
                    (
                        (
                            'sum by (app_id, label) (rate(starstream_app_labels_total{job=~"$job", app_id=~"$app"}[$__rate_interval]))',
                            "{{app_id}} {{label}}",
                        ),
                    ),
                    see="StarstreamAppStarsDropped",
                    decimals=2,
                    empty="No app is named in WORKER_APP_METRICS, or the model gives stars",
                    height=6,
                ),
                Panel(
                    "Telling words",
                    "Where the words are: they are read from the topics on asking, and are no metric.",
                    (),
                    see="",
                    kind="text",
                    empty="",
                    content=(
                        "The words that an app's reviews have more often than in the time before, by star, version or "
                        "week, are on [the page of `starstream-worker serve`](${page}/): choose the app and press Find, "
                        'or click on its line in "Stars by app". On the command line: '
                        "`starstream-worker get --app ID --words --since 7d --by version`.\n\n"
                        "The stars here are counted when reviews are rated. By the time at which they were written, "
                        "exact also after re-ratings and deletions, they are in the page's chart and in "
                        "`starstream-worker get --app ID --since 4w --by version`."
                    ),
                    height=6,
                ),
            ),
        ),
    ),
)
