"""What a model is and where its files are. Imports no torch."""
