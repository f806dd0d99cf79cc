"""Benchmarks: figures and ratios for people, never run as tests."""
