"""The front beside other HTTP servers of the same bundle, and `worker.Model` beside Spark and `predict`."""
