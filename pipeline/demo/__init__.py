"""The demo: real workers on a real Kafka and Redis, and sums that must hold."""
