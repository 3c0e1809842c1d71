"""The chatbot example: a provider of its own, and the project's files."""
