"""Text becomes table entries: normalisation, vocabulary, word vectors."""
