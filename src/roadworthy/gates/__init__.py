"""Gates judge a candidate: one a file, each named by an entry point of the group `roadworthy.gates`."""
