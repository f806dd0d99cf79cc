"""Models: from a request to frames."""
