"""The gates room."""
