"""Judge the past: the same sieve, decoding and core as live, over a bounded set of records."""
