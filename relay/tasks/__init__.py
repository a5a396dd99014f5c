"""The inbound half: from what was asked to what became of it. Each way in ends in Recorder.record, and so in store.apply."""
