"""API keys. Only an admin key makes or revokes them; a key is shown once and stored only as a hash.

The operator's own key is not among those that can be revoked: it is a setting, in force again at the next start.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct
from starlette.responses import Response

from relay import model
from relay.errors import Conflict, NotFound
from relay.model import Scope
from relay.web.auth import hash_key, new_api_key
from relay.web.fields import refuse
from relay.web.listing import ListQuery, Text
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.shapes import Empty, Key, page_of

_OPERATOR: Final = "key_operator"

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Scopes = Annotated[list[Scope], Meta(min_length=1, max_length=10)]


class KeyWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new key. `account`: id or name; absent, the account that the request acts for. `via`: drop-in -> the provider that makes its
    pictures for this key."""

    name: Name
    scopes: Scopes
    account: Text | None = None
    via: Annotated[dict[str, str], Meta(max_length=20)] | None = None


async def add_key(call: Call[NoQuery, KeyWish]) -> Response:
    account_id, account_name = await _account_of(call)
    _check_via(call)
    secret = new_api_key()
    key = model.Key(
        id=call.web.new_id("key"), account_id=account_id, name=call.body.name, hash=hash_key(secret),
        scopes=tuple(dict.fromkeys(call.body.scopes)), created_at=call.web.clock(), via=call.body.via or {},
    )
    await call.web.store.add_key(key)
    return answer_json(key_view(key, account_name, secret), 201)


async def list_keys(call: Call[ListQuery, NoBody]) -> Response:
    page = await call.web.store.keys(call.account_id, limit=call.query.limit, cursor=call.query.cursor)
    return answer_json(page_of(page, lambda key: key_view(key, call.caller.account_name)))


async def revoke_key(call: Call[NoQuery, NoBody]) -> Response:
    key_id = call.id_of("key_id")
    if key_id == _OPERATOR:
        raise Conflict("This is the operator's own key: it is set by RELAY_ADMIN_KEY or the file admin-key. Change it there and restart.")
    if not await call.web.store.revoke_key(call.account_id, key_id, now=call.web.clock()):
        raise NotFound
    return answer_json(Empty())


def key_view(key: model.Key, account_name: str, secret: str | None = None) -> Key:
    return Key(id=key.id, name=key.name, scopes=list(key.scopes), account=account_name, created_at=key.created_at, via=key.via or None,
               key=secret)


def _check_via(call: Call[NoQuery, KeyWish]) -> None:
    for name in {*(call.body.via or {}), *(call.body.via or {}).values()}:
        if name not in call.web.providers:
            raise refuse("via", f"names {name[:40]!r}; each side is one of {', '.join(sorted(call.web.providers))}")


async def _account_of(call: Call[NoQuery, KeyWish]) -> tuple[str, str]:
    """Id and name of the account that the new key is for."""
    if call.body.account is None:
        return call.account_id, call.caller.account_name
    account = await call.web.store.account(call.body.account)
    if account is None:
        raise refuse("account", "there is no such account")
    return account.id, account.name


OPERATIONS = (
    Operation(
        method="POST", path="/api/v1/keys", id="addKey", tag="Keys", summary="Make a key", handle=add_key,
        description="`key` is shown this once. `submit`: tasks; `read`: look at everything; `subscribe`: subscriptions; `admin`: all of "
                    "it, keys and accounts too.",
        needs=Scope.ADMIN, body=KeyWish, example={"name": "shop", "scopes": ["submit", "read"]},
        answers={201: Answer(means="The key.", shape=Key)},
    ),
    Operation(
        method="GET", path="/api/v1/keys", id="listKeys", tag="Keys", summary="The keys in force", handle=list_keys,
        needs=Scope.ADMIN, query=ListQuery, answers={200: Answer(means="Keys, newest first.", shape=Key, is_page=True)},
    ),
    Operation(
        method="DELETE", path="/api/v1/keys/{key_id}", id="revokeKey", tag="Keys", summary="Revoke a key", handle=revoke_key,
        description="It is refused from now on.", needs=Scope.ADMIN, problems=(NotFound, Conflict),
        answers={200: Answer(means="Done.", shape=Empty)},
    ),
)
