"""Guards: layers on a language model's question and answer. One plug-in a file; pure, text in, ruling out."""
