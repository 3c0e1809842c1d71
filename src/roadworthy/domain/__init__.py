"""The nouns and their rules. Standard library only; frozen dataclasses and pure functions; no clock, no I/O."""
