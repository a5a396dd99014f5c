"""Keeping the pictures whose bytes are ours to keep."""
