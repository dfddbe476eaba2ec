"""What is in Kafka: the topics, and the models of what Masswatch publishes.

It knows nothing of the pipeline, so that a consumer elsewhere can use it alone.
"""
