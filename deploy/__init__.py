"""What runs Starstream outside its own processes: local services, images, dashboards, the demo.

The worker, the trainer and the schemas never import it.
"""
