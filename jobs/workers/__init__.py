"""Workers on this machine: a spawned process, this process, or the thread that calls."""
