"""The one place that picks adapters and joins serving to lifecycle."""
