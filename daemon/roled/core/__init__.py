"""What roled decides: pure functions and records, with no clock, files, sockets, environment or threads."""
