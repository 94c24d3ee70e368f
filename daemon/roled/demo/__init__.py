"""An AWS stand-in on loopback, and the story that `roled demo` plays against it. Needs the extra `demo`."""
