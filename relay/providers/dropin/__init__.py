"""Relay in the place of a provider: an app changes base URL and key, nothing else. What all five dialects share; each dialect is in its
provider's folder (`dropin.py`)."""
