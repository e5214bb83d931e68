"""Lists, shows and sends back dead letters: the command `dlq`."""
