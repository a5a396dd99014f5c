"""Reaching out to addresses that others named, safely."""
