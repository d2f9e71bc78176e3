"""How a weight stays non-negative."""
