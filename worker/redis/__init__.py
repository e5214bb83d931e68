"""Redis behind the store port: ratings by id, summaries by app, and the poison ledger."""
