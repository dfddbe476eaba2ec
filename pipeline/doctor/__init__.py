"""Every dependency and setting examined: what is wrong, and what to do."""
