"""What roled touches: each file is the only one that touches its thing, and none imports another."""
