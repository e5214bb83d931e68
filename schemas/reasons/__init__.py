"""Why a model gives a text its stars: the words that it read, and what each of them does."""
