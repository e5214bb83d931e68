"""The dashboards, as code: `python -m deploy.grafana --write` writes deploy/grafana/dashboards.

`panel` says what a panel is, `boards` holds one file a question, `render` turns them into Grafana's JSON, `links` ties
alerts, runbook and panels together. Needs the extra `dev`; Grafana reads the JSON files only.
"""
