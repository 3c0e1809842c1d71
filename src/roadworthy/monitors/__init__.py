"""Monitors, one plug-in a file: pure functions from a view of counts to signals."""
