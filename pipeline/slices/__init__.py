"""Bounded sets of records, from topics and files, cut into shards that can be read side by side."""
