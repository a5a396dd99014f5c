"""Format `standard`: the event's own body, byte for byte as it was frozen."""

from relay.ports import Job, Message


def standard_message(job: Job) -> Message:
    return Message(body=job.event.body)
