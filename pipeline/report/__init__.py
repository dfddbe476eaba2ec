"""What people and programs read of a backtest: a page, a JSON document, and the figures in both."""
