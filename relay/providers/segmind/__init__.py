"""Segmind, Flux 1.1 Pro: the connection is held and the answer is the picture."""
