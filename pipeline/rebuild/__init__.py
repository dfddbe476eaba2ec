"""Redis from the topics, while workers run."""
