"""Serevix: a gateway that speaks the Flux API of Black Forest Labs."""
