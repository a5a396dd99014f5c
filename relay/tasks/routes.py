"""How each provider reaches us back: by a callback at a signed URL where there is a public one, else by being asked."""

from collections.abc import Mapping

from msgspec import Struct

from relay.model import Task
from relay.ports import CallbackTarget, Provider
from relay.signing import Seal
from relay.view import Link


class Routes(Struct, frozen=True, kw_only=True):
    """`public_url`: where providers reach us, or None: then all of them are polled. `link` opens kept pictures."""

    providers: Mapping[str, Provider]
    seal: Seal
    public_url: str | None
    link: Link

    def target_for(self, task: Task) -> CallbackTarget | None:
        """Where the provider of this task is to call back. The token names the task, so that a callback that overtakes the
        submit answer still finds it."""
        if not self.are_callbacks_expected(task.provider):
            return None
        url = f"{self.public_url}/callbacks/{task.provider}/{self.seal.sign(task.id)}"
        return CallbackTarget(url=url, secret=self.seal.secrets_for(task.id)[0])

    def are_callbacks_expected(self, provider: str) -> bool:
        return self.public_url is not None and self.providers[provider].describe().result == "callback"
