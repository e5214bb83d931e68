"""Everything that runs Starstream outside its own processes: local services, images, dashboards.

Never imported by the worker, the trainer or the schemas.
"""
