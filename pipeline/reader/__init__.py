"""Kafka to batches: the consumer, its books and lease, and the sieve inside the fetcher."""
