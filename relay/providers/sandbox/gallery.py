"""The links to a stand-in's pictures, and what they answer."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relay.providers.sandbox.endpoint import Endpoint, Refuse
from relay.providers.sandbox.job import Job, Jobs, State
from relay.providers.sandbox.link import LinkSigner, absent, expired
from relay.providers.sandbox.picture import Drawing, Studio

_FILE: Final = re.compile(r"([0-9a-f-]{36})_([0-9])\.[a-z]{3,4}", re.ASCII)


class Gallery:
    """Hands out two kinds of links: lasting ones, and signed ones that expire. A picture is drawn when it is asked for; once its
    job is forgotten there is none. `name` and `url` are the provider's."""

    def __init__(self, name: str, url: str, jobs: Jobs, studio: Studio, clock: Callable[[], datetime]) -> None:
        self._name = name
        self._url = url
        self._jobs = jobs
        self._studio = studio
        self._clock = clock
        self._signer = LinkSigner()

    def link(self, job: Job, number: int = 0) -> str:
        return f"{self._url}/outputs/{_file(job, number)}"

    def signed_link(self, job: Job, lifetime: timedelta) -> str:
        """To the first picture of a job that has ended; it opens for `lifetime` from that end."""
        file = _file(job, 0)
        until = (job.ended_at or job.created_at) + lifetime
        return f"{self._url}/delivery/{file}?{self._signer.query(file, job.drawings[0].content_type, until)}"

    async def data(self, drawing: Drawing) -> bytes:
        return await self._studio.file(drawing)

    def routes(self, refuse: Refuse) -> list[BaseRoute]:
        return [
            Route(f"/{self._name}/outputs/{{file}}", Endpoint({"GET": self._open}, refuse)),
            Route(f"/{self._name}/delivery/{{file}}", Endpoint({"GET": self._open_signed}, refuse)),
        ]

    async def _open_signed(self, request: Request) -> Response:
        until, signature = request.query_params.get("se", ""), request.query_params.get("sig", "")
        if not self._signer.is_valid(request.path_params["file"], until, signature, self._clock()):
            return expired(self._clock())
        return await self._open(request)

    async def _open(self, request: Request) -> Response:
        file = request.path_params["file"]
        match = _FILE.fullmatch(file)
        job = self._jobs.get(match.group(1)) if match else None
        if match is None or job is None or job.state is not State.DONE:
            return absent()
        number = int(match.group(2))
        if number >= len(job.drawings) or file != _file(job, number):
            return absent()
        if job.faults.expired_image:
            return expired(self._clock())
        drawing = job.drawings[number]
        return Response(await self.data(drawing), media_type=drawing.content_type)


def _file(job: Job, number: int) -> str:
    return f"{job.id}_{number}.{job.drawings[number].format}"
