"""Values that a schema registry describes: confluent-kafka's client of it, and what it decodes."""
