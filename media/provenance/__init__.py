"""Content Credentials (C2PA): what a file says about its making, signed and verified."""
