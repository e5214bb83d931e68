"""Trains, evaluates and publishes model bundles.

Owns everything from labelled reviews to a verified folder in the registry. Never imports the worker, and the worker
never imports this. Start reading at `__main__`, then `train`; README.md has the whole order.
"""
