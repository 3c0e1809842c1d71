"""How an answer of kind llm is scored: checks, judges, and their mean; the same offline and online."""
