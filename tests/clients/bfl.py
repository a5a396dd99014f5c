"""A client as the quick start of Black Forest Labs has it: submit, then follow `polling_url` until the task is at its end."""

import asyncio
from typing import Any

import httpx

FINAL = ("Ready", "Error", "Failed", "Request Moderated", "Content Moderated", "Task not found")


class NotMade(Exception):
    """The task ended without a picture; `body` is the last answer."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        super().__init__(body["status"])


class Poller:
    """`headers`: how it proves who it is when it submits. It polls without them: `polling_url` is all that it needs."""

    def __init__(self, base_url: str, headers: dict[str, str]) -> None:
        self._base_url = base_url
        self._headers = headers
        self.seen: list[str] = []

    async def submit(self, model: str, **fields: Any) -> dict[str, Any]:
        """Raises httpx.HTTPStatusError."""
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(f"{self._base_url}/{model}", json=fields, headers={"accept": "application/json", **self._headers})
        return dict(answer.raise_for_status().json())

    async def follow(self, submitted: dict[str, Any], seconds: float = 30) -> dict[str, Any]:
        """What is told of a task at its end. Raises NotMade."""
        async with asyncio.timeout(seconds), httpx.AsyncClient(timeout=30) as client:
            while (body := await self._poll(client, submitted))["status"] not in FINAL:
                await asyncio.sleep(0.1)
        if body["status"] != "Ready":
            raise NotMade(body)
        return body

    async def _poll(self, client: httpx.AsyncClient, submitted: dict[str, Any]) -> dict[str, Any]:
        body = dict((await client.get(submitted["polling_url"])).raise_for_status().json())
        self.seen.append(body["status"])
        return body

    async def picture(self, body: dict[str, Any]) -> bytes:
        """Downloaded without the key, which is nobody's affair there."""
        async with httpx.AsyncClient(timeout=30) as client:
            return (await client.get(body["result"]["sample"])).raise_for_status().content
