"""The worker: reads reviews from Kafka, rates them in micro-batches, writes Redis and the output topic.

Never imports the trainer, TensorFlow, Keras or NLTK. Reading order: `app` (what is wired to what), `pipeline` (the
loop), `ports`, `records`, `parse`, `batcher`, `classifier`, then the adapters `source` and `sinks`.
"""
