"""Dead letters: what lies in the DLQs, whether it could be read today, and sent again."""
