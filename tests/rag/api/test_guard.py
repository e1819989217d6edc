import pytest

from rag.api.guard import Guard


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8080", "", "[::2]"])
def test_a_name_that_is_not_this_servers_is_refused(live, host):
    response = live.client.get("/v1/documents", headers={"Host": host})
    assert response.status_code == 421
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
def test_a_loopback_name_is_answered(live, host):
    assert live.client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/ask"), ("POST", "/v1/documents"), ("DELETE", "/v1/documents/abcdef")]
)
def test_another_sites_page_may_not_change_anything(live, method, path, headers):
    response = live.client.request(method, path, headers=headers)
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"


def test_the_servers_own_page_may(live):
    response = live.client.post("/v1/search", json={"question": "boats"}, headers={"Origin": live.url})
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/documents", "/nothing", "/static/app.js"])
def test_every_response_forbids_the_browser_what_it_does_not_need(live, path):
    headers = live.client.get(path).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_a_public_address_answers_to_any_name_unless_names_are_given():
    assert Guard(None, host="0.0.0.0", allowed_hosts=())._hosts is None
    assert "rag.example" in Guard(None, host="0.0.0.0", allowed_hosts=("rag.example",))._hosts
