"""Topics or files into topics, as they were."""
