"""The guards room."""
