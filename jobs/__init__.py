"""An accepted request until its clip is stored."""
