"""The use cases between two topics: observe facts, evaluate assignments."""
