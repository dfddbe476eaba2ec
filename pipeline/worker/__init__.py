"""The Faust worker: agents that read batches, hand them to the stages, and acknowledge."""
