"""Reads images and clips, writes clips. No jobs, no models."""
