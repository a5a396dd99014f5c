"""Keys, scopes and accounts."""

from typing import Any

import httpx
import pytest

from tests.e2e.harness import ADMIN_KEY
from tests.web.conftest import TASK, House, named_fields, problem, read_json

pytestmark = pytest.mark.anyio


async def test_a_key_says_who_it_is(house: House) -> None:
    key = read_json(await house.api.post("/api/v1/keys", json={"name": "shop", "scopes": ["submit", "read"]}), 201)
    shop = await house.client(key["key"])

    me = (await shop.get("/api/v1/me")).json()

    assert me == {"account": house.account, "key_id": key["id"], "key_name": "shop", "scopes": ["submit", "read"]}


async def test_either_header_brings_the_key(house: House) -> None:
    for headers in ({"authorization": f"bearer {ADMIN_KEY}"}, {"x-api-key": ADMIN_KEY}):
        me = read_json(await house.stranger.get("/api/v1/me", headers=headers), 200)
        assert (me["account"], me["key_id"]) == ("default", "key_operator")


@pytest.mark.parametrize("headers", [
    {}, {"authorization": "Bearer rly_" + "x" * 40}, {"authorization": "Bearer nonsense"}, {"authorization": f"Basic {ADMIN_KEY}"},
    {"authorization": "Bearer"}, {"x-api-key": ADMIN_KEY + "x"}, {"x-api-key": ""},
], ids=["none", "unknown", "no key at all", "another scheme", "only the scheme", "a letter too many", "empty"])
async def test_without_a_valid_key_nothing_is_answered(house: House, headers: dict[str, str]) -> None:
    answer = await house.stranger.get("/api/v1/tasks", headers=headers)

    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="relay"'


async def test_a_key_is_shown_once_and_kept_as_a_hash_only(house: House) -> None:
    made = read_json(await house.api.post("/api/v1/keys", json={"name": "shop", "scopes": ["read"]}), 201)

    listed = (await house.api.get("/api/v1/keys")).json()["data"]

    assert made["key"].startswith("rly_")
    assert [key["id"] for key in listed] == [made["id"]]
    assert "key" not in listed[0]
    assert made["key"] not in str(listed)


async def test_a_revoked_key_is_refused_at_once(house: House) -> None:
    made = read_json(await house.api.post("/api/v1/keys", json={"name": "shop", "scopes": ["read"]}), 201)
    shop = await house.client(made["key"])
    assert (await shop.get("/api/v1/me")).status_code == 200

    revoked = await house.api.delete(f"/api/v1/keys/{made['id']}")

    assert (revoked.status_code, revoked.json()) == (200, {})
    problem(await shop.get("/api/v1/me"), 401, "unauthorized")
    problem(await house.api.delete(f"/api/v1/keys/{made['id']}"), 404, "not_found")


async def test_the_operators_own_key_cannot_be_revoked(house: House) -> None:
    refused = problem(await house.operator.delete("/api/v1/keys/key_operator"), 409, "conflict")

    assert "RELAY_ADMIN_KEY" in refused["detail"]
    assert (await house.operator.get("/api/v1/me")).status_code == 200


async def test_a_key_of_another_account_cannot_be_revoked(house: House) -> None:
    made = read_json(await house.api.post("/api/v1/keys", json={"name": "shop", "scopes": ["read"]}), 201)
    neighbour = await house.neighbour("admin")

    problem(await neighbour.delete(f"/api/v1/keys/{made['id']}"), 404, "not_found")


@pytest.mark.parametrize(("body", "field"), [
    ({"scopes": ["read"]}, "name"), ({"name": "", "scopes": ["read"]}, "name"),
    ({"name": "n"}, "scopes"), ({"name": "n", "scopes": []}, "scopes"),
    ({"name": "n", "scopes": ["write"]}, "scopes.0"), ({"name": "n", "scopes": ["read"], "account": "nobody"}, "account"),
    ({"name": "n", "scopes": ["read"], "expires": 1}, "expires"),
], ids=str)
async def test_a_key_that_cannot_be_made_is_refused_by_name(api: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    assert named_fields(await api.post("/api/v1/keys", json=body)) == {field}


async def test_an_unknown_scope_is_told_with_those_that_exist(api: httpx.AsyncClient) -> None:
    refused = (await api.post("/api/v1/keys", json={"name": "n", "scopes": ["write"]})).json()

    assert refused["errors"][0]["message"] == "must be one of submit, read, subscribe, admin"


@pytest.mark.parametrize(("method", "path", "scope"), [
    ("POST", "/api/v1/tasks", "submit"), ("POST", "/api/v1/tasks/watch", "submit"), ("GET", "/api/v1/tasks", "read"),
    ("GET", "/api/v1/tasks/task_x", "read"), ("GET", "/api/v1/tasks/task_x/timeline", "read"), ("DELETE", "/api/v1/tasks/task_x", "submit"),
    ("POST", "/api/v1/tasks/task_x/cancel", "submit"), ("POST", "/api/v1/tasks/task_x/refresh", "submit"),
    ("GET", "/api/v1/callbacks", "read"), ("GET", "/api/v1/keys", "admin"), ("POST", "/api/v1/keys", "admin"),
    ("DELETE", "/api/v1/keys/key_x", "admin"), ("GET", "/api/v1/accounts", "admin"), ("POST", "/api/v1/accounts", "admin"),
])
async def test_a_key_without_the_scope_is_refused_before_anything_else(house: House, method: str, path: str, scope: str) -> None:
    lacking = await house.with_key(*({"submit", "read", "subscribe"} - {scope}))

    assert scope in problem(await lacking.request(method, path, content=b"?"), 403, "forbidden")["detail"]


async def test_any_key_may_see_the_providers(house: House) -> None:
    assert (await (await house.with_key("subscribe")).get("/api/v1/providers")).status_code == 200


class TestAccounts:
    """Whatever belongs to one account is invisible to the others."""

    @pytest.mark.parametrize("name", ["", "two words", "n" * 65, "ü", "a/b", "line\n"])
    async def test_a_name_that_is_none_is_refused(self, api: httpx.AsyncClient, name: str) -> None:
        assert named_fields(await api.post("/api/v1/accounts", json={"name": name})) == {"name"}

    async def test_a_name_that_is_taken_is_a_conflict(self, house: House) -> None:
        problem(await house.api.post("/api/v1/accounts", json={"name": house.account}), 409, "conflict")

    async def test_accounts_are_listed(self, house: House) -> None:
        listed = (await house.operator.get("/api/v1/accounts", params={"limit": "200"})).json()["data"]

        assert {"default", house.account} <= {account["name"] for account in listed}
        assert all(set(account) == {"id", "name", "created_at", "retention"} for account in listed)

    async def test_an_admin_acts_for_an_account_by_name_or_id(self, house: House) -> None:
        account = next(each for each in (await house.operator.get("/api/v1/accounts")).json()["data"] if each["name"] == house.account)
        task = await house.submit()

        for name in (account["id"], account["name"]):
            found = await house.operator.get(f"/api/v1/tasks/{task['id']}", headers={"x-relay-account": name})
            assert found.status_code == 200
        problem(await house.operator.get(f"/api/v1/tasks/{task['id']}"), 404, "not_found")

    async def test_only_an_admin_acts_for_another_account(self, house: House) -> None:
        plain = await house.with_key("submit", "read", "subscribe")

        problem(await plain.get("/api/v1/tasks", headers={"x-relay-account": "default"}), 403, "forbidden")

    async def test_an_account_that_is_not_there_is_not_found(self, house: House) -> None:
        answer = await house.operator.post("/api/v1/tasks", json=TASK, headers={"x-relay-account": "nobody"})

        assert problem(answer, 404, "not_found")["errors"][0]["field"] == "X-Relay-Account"
