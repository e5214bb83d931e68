"""Whether the model is still right, and whether the candidate is better."""

from deploy.grafana.panel import Board, Panel, Section

MODELS = Board(
    uid="starstream-models",
    title="Starstream: models",
    question="Is the model still right, and is the candidate better?",
    events=("New model", "Model refused", "Canary stopped", "Candidate in shadow"),
    sections=(
        Section(
            "",
            (
                Panel(
                    "Serving",
                    "Version whose ratings are published.",
                    (('count by (model_version) (starstream_model_info{job=~"$job"} == 1)', "{{model_version}}"),),
                    see="StarstreamMixedModels",
                    kind="stat",
                    empty="no worker",
                    thresholds=((None, "purple"),),
                    text="name",
                    width=6,
                    height=4,
                ),
                Panel(
                    "In shadow",
                    "Candidate that rates the same batches, for comparison only.",
                    (('count by (model_version) (starstream_shadow_info{job=~"$job"} == 1)', "{{model_version}}"),),
                    see="StarstreamShadowFailing",
                    kind="stat",
                    empty="no shadow model",
                    thresholds=((None, "purple"),),
                    text="name",
                    width=6,
                    height=4,
                ),
                Panel(
                    "Canary share",
                    "Share of the reviews that get the candidate's rating. 0: none of its ratings is published.",
                    (('max(starstream_canary_share{job=~"$job"})', "share"),),
                    see="StarstreamCanaryReturned",
                    kind="stat",
                    unit="percentunit",
                    decimals=0,
                    empty="no worker",
                    thresholds=((None, "blue"), (0.0001, "orange")),
                    width=3,
                    height=4,
                ),
                Panel(
                    "Agreement",
                    "How often the candidate gives the same stars as the serving model, over an hour.",
                    (
                        (
                            'max(job_model_version:starstream_shadow_agreed:ratio1h{job=~"$job"} and on (job) sum by (job) (up{job=~"$job"}) > 0)',
                            "share",
                        ),
                    ),
                    see="StarstreamShadowFailing",
                    kind="stat",
                    unit="percentunit",
                    empty="no shadow model",
                    thresholds=((None, "red"), (0.6, "yellow"), (0.75, "green")),
                    coloured=True,
                    width=3,
                    height=4,
                ),
                Panel(
                    "Accuracy now",
                    "How often a rating equals the author's own stars, over an hour. With two versions: the better one.",
                    (
                        (
                            'max(job_model_version:starstream_feedback_correct:ratio1h{job=~"$job"} and on (job) sum by (job) (up{job=~"$job"}) > 0)',
                            "share",
                        ),
                    ),
                    see="StarstreamAccuracyDropped",
                    kind="stat",
                    unit="percentunit",
                    empty="no author's stars",
                    thresholds=((None, "blue"),),
                    width=3,
                    height=4,
                ),
                Panel(
                    "Refusals",
                    "Channels that name a version the workers refuse. The previous version keeps serving.",
                    (('count(max by (role) (starstream_model_refused{job=~"$job"}) == 1) or vector(0)', "refused"),),
                    see="StarstreamModelRefused",
                    kind="stat",
                    empty="0",
                    thresholds=((None, "green"), (1, "red")),
                    coloured=True,
                    width=3,
                    height=4,
                ),
            ),
        ),
        Section(
            "Candidate and stable, on the same reviews",
            (
                Panel(
                    "Agreement matrix",
                    "Reviews by the stars of both models, in the time shown. The diagonal is agreement; cells far from it need a look.",
                    (
                        (
                            'sum by (stable_rating, shadow_rating) (increase(starstream_shadow_reviews_total{job=~"$job"}[$__range]))',
                            "",
                        ),
                    ),
                    see="StarstreamShadowFailing",
                    kind="table",
                    decimals=0,
                    empty="No shadow model: it is the version of WORKER_SHADOW_CHANNEL, and rates only while reviews come",
                    matrix=("stable_rating", "shadow_rating"),
                    width=8,
                    height=9,
                ),
                Panel(
                    "Agreement by version",
                    "Share of the reviews that get the same stars from both models.",
                    (
                        (
                            'sum by (model_version) (rate(starstream_shadow_agreed_total{job=~"$job"}[$__rate_interval])) / (sum by (model_version) (rate(starstream_shadow_reviews_total{job=~"$job"}[$__rate_interval])) > 0)',
                            "{{model_version}}",
                        ),
                    ),
                    see="StarstreamCanaryReturned",
                    unit="percentunit",
                    maximum=1,
                    empty="No shadow model: it is the version of WORKER_SHADOW_CHANNEL, and rates only while reviews come",
                    width=8,
                    height=9,
                ),
                Panel(
                    "Stars apart",
                    "Mean distance between the expected stars. Small and steady is normal for a retrained model; a step is a change.",
                    (
                        (
                            'sum by (model_version) (rate(starstream_shadow_expected_difference_sum{job=~"$job"}[$__rate_interval])) / (sum by (model_version) (rate(starstream_shadow_expected_difference_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "{{model_version}}",
                        ),
                    ),
                    see="StarstreamCanaryReturned",
                    unit="none",
                    decimals=2,
                    empty="No shadow model: it is the version of WORKER_SHADOW_CHANNEL, and rates only while reviews come",
                    width=8,
                    height=9,
                ),
                Panel(
                    "Labels by both models, or by one",
                    "Labels a second that both models give, or one of them only, when they give labels.",
                    (
                        (
                            'sum by (label, given_by) (rate(starstream_shadow_labels_total{job=~"$job"}[$__rate_interval]))',
                            "{{label}} {{given_by}}",
                        ),
                    ),
                    see="StarstreamShadowFailing",
                    decimals=2,
                    empty="No shadow model, or it gives stars",
                    width=24,
                    height=6,
                ),
                Panel(
                    "Star mix by version",
                    "Share of each star among the published ratings of a version.",
                    (
                        (
                            'sum by (model_version, rating) (rate(starstream_ratings_total{job=~"$job"}[$__rate_interval])) / on (model_version) group_left () (sum by (model_version) (rate(starstream_ratings_total{job=~"$job"}[$__rate_interval])) > 0)',
                            "{{rating}} ★ {{model_version}}",
                        ),
                    ),
                    see="StarstreamMixedModels",
                    unit="percentunit",
                    maximum=1,
                    empty="No review was settled in this time, or no worker ran",
                    width=8,
                    height=8,
                ),
                Panel(
                    "Confidence by version",
                    "Mean calibrated confidence of the published ratings, and of the candidate's ratings in shadow.",
                    (
                        (
                            'sum by (model_version) (rate(starstream_rating_confidence_sum{job=~"$job"}[$__rate_interval])) / (sum by (model_version) (rate(starstream_rating_confidence_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "published {{model_version}}",
                        ),
                        (
                            'sum by (model_version) (rate(starstream_shadow_confidence_sum{job=~"$job"}[$__rate_interval])) / (sum by (model_version) (rate(starstream_shadow_confidence_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "shadow {{model_version}}",
                        ),
                    ),
                    see="StarstreamConfidenceDropped",
                    unit="percentunit",
                    maximum=1,
                    empty="No review was settled in this time, or no worker ran",
                    width=8,
                    height=8,
                ),
                Panel(
                    "Time of a batch",
                    "Mean time of encoding and the serving model, and the time the candidate adds.",
                    (
                        (
                            'sum(rate(starstream_inference_seconds_sum{job=~"$job"}[$__rate_interval])) / (sum(rate(starstream_inference_seconds_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "serving",
                        ),
                        (
                            'sum(rate(starstream_shadow_seconds_sum{job=~"$job"}[$__rate_interval])) / (sum(rate(starstream_shadow_seconds_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "shadow",
                        ),
                    ),
                    see="StarstreamLatencyHigh",
                    unit="s",
                    empty="No review was settled in this time, or no worker ran",
                    width=8,
                    height=8,
                ),
            ),
        ),
        Section(
            "Against the authors' own stars",
            (
                Panel(
                    "Confusion with the authors",
                    "Reviews by published rating and the author's own stars, in the time shown, all versions.",
                    (
                        (
                            'sum by (rating, score) (increase(starstream_feedback_reviews_total{job=~"$job"}[$__range]))',
                            "",
                        ),
                    ),
                    see="StarstreamAccuracyDropped",
                    kind="table",
                    decimals=0,
                    empty="No author's stars came: reviews had no score, and WORKER_FEEDBACK_TOPIC gave none",
                    matrix=("score", "rating"),
                    width=8,
                    height=9,
                ),
                Panel(
                    "Online accuracy",
                    "Share of the ratings that equal the author's own stars.",
                    (
                        (
                            'sum by (model_version) (rate(starstream_feedback_correct_total{job=~"$job"}[$__rate_interval])) / (sum by (model_version) (rate(starstream_feedback_reviews_total{job=~"$job"}[$__rate_interval])) > 0)',
                            "{{model_version}}",
                        ),
                    ),
                    see="StarstreamAccuracyDropped",
                    unit="percentunit",
                    maximum=1,
                    empty="No author's stars came: reviews had no score, and WORKER_FEEDBACK_TOPIC gave none",
                    width=5,
                    height=9,
                ),
                Panel(
                    "Online error",
                    "Mean distance from the author's own stars, in stars.",
                    (
                        (
                            'sum by (model_version) (rate(starstream_feedback_error_stars_total{job=~"$job"}[$__rate_interval])) / (sum by (model_version) (rate(starstream_feedback_reviews_total{job=~"$job"}[$__rate_interval])) > 0)',
                            "{{model_version}}",
                        ),
                    ),
                    see="StarstreamAccuracyDropped",
                    unit="none",
                    decimals=2,
                    empty="No author's stars came: reviews had no score, and WORKER_FEEDBACK_TOPIC gave none",
                    width=4,
                    height=9,
                ),
                Panel(
                    "Feedback",
                    "Authors' stars per second: counted, for reviews that are not in Redis, and unusable.",
                    (
                        (
                            'sum by (outcome) (rate(starstream_feedback_total{job=~"$job"}[$__rate_interval]))',
                            "{{outcome}}",
                        ),
                    ),
                    see="StarstreamAccuracyDropped",
                    empty="No worker was scraped in this time",
                    width=3,
                    height=9,
                ),
                Panel(
                    "Contradictions",
                    "Share of the reviews with stars of their own whose stars contradict the text, by the bundle's rule.",
                    (
                        (
                            'sum by (model_version) (rate(starstream_mismatches_total{job=~"$job"}[$__rate_interval])) / (sum by (model_version) (rate(starstream_feedback_reviews_total{job=~"$job"}[$__rate_interval])) > 0)',
                            "{{model_version}}",
                        ),
                    ),
                    see="StarstreamAccuracyDropped",
                    unit="percentunit",
                    decimals=2,
                    empty="No author's stars came: reviews had no score, and WORKER_FEEDBACK_TOPIC gave none",
                    width=4,
                    height=9,
                ),
            ),
        ),
        Section(
            "Drift from the held-out texts",
            (
                Panel(
                    "Drift",
                    "Population stability index of the latest reviews, by feature. Under 0.1: stable. Over 0.25: drifted.",
                    (
                        (
                            'max by (model_version, feature) (starstream_drift_psi{job=~"$job"})',
                            "{{feature}} {{model_version}}",
                        ),
                    ),
                    see="StarstreamDrift",
                    unit="none",
                    decimals=2,
                    empty="Fewer reviews than WORKER_DRIFT_MIN_REVIEWS so far, or the bundle has no baseline",
                    width=16,
                    height=8,
                ),
                Panel(
                    "Reviews sampled for drift",
                    "Number of reviews behind the index, over all processes.",
                    (('sum by (model_version) (starstream_drift_window_reviews{job=~"$job"})', "{{model_version}}"),),
                    see="StarstreamDrift",
                    empty="Fewer reviews than WORKER_DRIFT_MIN_REVIEWS so far, or the bundle has no baseline",
                    width=8,
                    height=8,
                ),
            ),
        ),
        Section(
            "Reloads",
            (
                Panel(
                    "Versions loaded and refused",
                    "Events in the interval, by role and result. Unreachable counts every failed look at the registry.",
                    (
                        (
                            'sum by (role, outcome) (increase(starstream_model_reloads_total{job=~"$job"}[$__rate_interval]))',
                            "{{role}} {{outcome}}",
                        ),
                    ),
                    see="StarstreamModelRefused",
                    empty="No worker was scraped in this time",
                    width=8,
                    height=8,
                ),
                Panel(
                    "Time to load",
                    "Mean time to fetch, verify and warm up a bundle in the background, since the workers started.",
                    (
                        (
                            'sum(starstream_model_load_seconds_sum{job=~"$job"}) / (sum(starstream_model_load_seconds_count{job=~"$job"}) > 0)',
                            "mean",
                        ),
                    ),
                    see="StarstreamRegistryUnreachable",
                    unit="s",
                    empty="No version was loaded since the workers started",
                    width=5,
                    height=8,
                ),
                Panel(
                    "Registry",
                    "1 while every worker can read the channels of the registry.",
                    (('min(starstream_registry_reachable{job=~"$job"})', "reachable"),),
                    see="StarstreamRegistryUnreachable",
                    decimals=0,
                    maximum=1,
                    empty="No worker was scraped in this time",
                    width=3,
                    height=8,
                ),
                Panel(
                    "Shadow errors",
                    "Failed batches of the candidate, and ratings that did not reach the shadow topic.",
                    (
                        (
                            'sum by (kind) (increase(starstream_shadow_errors_total{job=~"$job"}[$__rate_interval]))',
                            "{{kind}}",
                        ),
                    ),
                    see="StarstreamShadowFailing",
                    empty="No worker was scraped in this time",
                    width=4,
                    height=8,
                ),
                Panel(
                    "Canaries stopped",
                    "How often a canary's share returned to the stable model, by reason.",
                    (
                        (
                            'sum by (reason) (increase(starstream_canary_returns_total{job=~"$job"}[$__rate_interval]))',
                            "{{reason}}",
                        ),
                    ),
                    see="StarstreamCanaryReturned",
                    empty="No worker was scraped in this time",
                    width=4,
                    height=8,
                ),
            ),
        ),
    ),
)
