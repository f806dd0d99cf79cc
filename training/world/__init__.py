"""A procedural cartoon world: (clip, caption) pairs without end. Knows no model."""
