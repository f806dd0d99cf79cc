"""The doors for programs: HTTP in, the same jobs as everywhere behind it."""
