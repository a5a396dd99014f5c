"""Accounts: whatever belongs to one is invisible to the others."""

from datetime import timedelta
from typing import Annotated, Final

from msgspec import Meta, Struct
from starlette.responses import Response

from relay.errors import Conflict, NotFound
from relay.model import Account, Scope
from relay.web import shapes
from relay.web.duration import read_duration
from relay.web.fields import refuse
from relay.web.listing import ListQuery
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json

_SPAN: Final = r"^[1-9][0-9]{0,3}[mhd](?!\n)$"
_NAME: Final = r"^[A-Za-z0-9._-]{1,64}(?!\n)$"  # a bare $ would let a line break at the end through


class AccountWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new account. `name`: 1 to 64 letters, digits, dots, dashes and underscores; not like an id, since both name an account."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=_NAME)]


class AccountAlteration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`retention`: how long finished tasks and all that belongs to them are kept, such as `90d`; null: as long as RELAY_RETENTION says."""

    retention: Annotated[str, Meta(min_length=2, max_length=5, pattern=_SPAN, description="Minutes, hours or days: 90m, 36h, 30d.")] | None


async def add_account(call: Call[NoQuery, AccountWish]) -> Response:
    if call.body.name.startswith("acc_") or call.body.name.endswith("\n"):  # `$` lets a line break pass
        raise refuse("name", "must not begin with acc_ nor end in a line break")
    account = Account(id=call.web.new_id("acc"), name=call.body.name, created_at=call.web.clock())
    return answer_json(shapes.account_view(await call.web.store.add_account(account)), 201)


async def alter_account(call: Call[NoQuery, AccountAlteration]) -> Response:
    text = call.body.retention
    retention = None if text is None else timedelta(seconds=read_duration(text, "retention"))
    account = await call.web.store.set_retention(call.id_of("account_id"), retention)
    if account is None:
        raise NotFound("There is no such account.")
    return answer_json(shapes.account_view(account))


async def list_accounts(call: Call[ListQuery, NoBody]) -> Response:
    page = await call.web.store.accounts(limit=call.query.limit, cursor=call.query.cursor)
    return answer_json(shapes.page_of(page, shapes.account_view))


OPERATIONS = (
    Operation(
        method="POST", path="/api/v1/accounts", id="addAccount", tag="Accounts", summary="Add an account", handle=add_account,
        description="Act for it with the header X-Relay-Account, or make keys of its own.",
        needs=Scope.ADMIN, body=AccountWish, problems=(Conflict,), example={"name": "shop"},
        answers={201: Answer(means="The account.", shape=shapes.Account)},
    ),
    Operation(
        method="GET", path="/api/v1/accounts", id="listAccounts", tag="Accounts", summary="All accounts", handle=list_accounts,
        needs=Scope.ADMIN, query=ListQuery, answers={200: Answer(means="Accounts, newest first.", shape=shapes.Account, is_page=True)},
    ),
    Operation(
        method="PATCH", path="/api/v1/accounts/{account_id}", id="alterAccount", tag="Accounts", summary="Alter an account",
        handle=alter_account, needs=Scope.ADMIN, body=AccountAlteration, example={"retention": "90d"},
        answers={200: Answer(means="The account as it is now.", shape=shapes.Account)},
    ),
)
