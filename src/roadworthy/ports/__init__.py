"""The protocols that the nouns need, one a file. Adapters live in stores, runtimes, gates, monitors and engines."""
