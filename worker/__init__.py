"""The worker: reads reviews from Kafka, rates them in micro-batches, writes Redis and the output topic.

Never imports the trainer, TensorFlow, Keras or NLTK. Reading order: `run.app` (what is wired to what),
`stream.pipeline` (the loop), `stream.ports`, `records`, then the adapters in `kafka`, `redis` and `model`.
"""

from worker.environment import choose_metrics_folder

# Before anything imports prometheus-client, which reads its variable at import and ends with a traceback when the
# folder that it names is not there.
choose_metrics_folder()
