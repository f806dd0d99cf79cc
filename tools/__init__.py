"""Commands for maintainers; `make` runs them. Not part of the app."""
