"""The outbound half: claim, prepare, send, judge, settle."""
