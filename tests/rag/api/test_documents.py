import socket
from pathlib import Path

import pytest

import rag.demo

DEMO = Path(rag.demo.__file__).parent / "docs"
NOTE = b"# Gauges\n\nThe gauge at Fell Bridge is called Agnes. It is read every Tuesday at noon.\n"


def uploads_left(desk):
    return sorted(desk.rag.settings.uploads_folder.iterdir())


def test_an_upload_becomes_a_document_that_can_be_read_searched_and_deleted(desk):
    response = desk.client.post("/v1/documents", files={"file": ("gauges.md", NOTE)})
    job = response.json()["jobs"][0]
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    ended = desk.wait_for_job(job["id"])
    assert (ended["state"], ended["error"]) == ("done", None)

    path = f"/v1/documents/{ended['document_id']}"
    listed = desk.client.get("/v1/documents").json()["documents"]
    assert [each["name"] for each in listed if each["id"] == ended["document_id"]] == ["gauges.md"]
    detail = desk.client.get(path).json()
    text = desk.client.get(path + "/text").json()
    chunk = detail["chunks"][0]
    assert text["text"][chunk["start"] : chunk["end"]] == chunk["text"]
    assert text["num_chars"] == len(text["text"])

    found = desk.client.post("/v1/search", json={"question": "What is the gauge at Fell Bridge called?"}).json()
    assert "Agnes" in found["passages"][0]["text"]

    assert desk.client.delete(path).status_code == 204
    assert desk.client.get(path).status_code == 404
    assert desk.client.delete(path).status_code == 404
    assert uploads_left(desk) == []


def test_a_stretch_of_text_is_cut_to_the_document(live):
    document = live.client.get("/v1/documents").json()["documents"][0]
    whole = live.client.get(f"/v1/documents/{document['id']}/text").json()
    part = live.client.get(f"/v1/documents/{document['id']}/text", params={"start": 5, "end": 10**9}).json()
    assert part["text"] == whole["text"][5:]
    assert part["end"] == whole["num_chars"]


def test_chunks_come_a_page_at_a_time(live):
    document = max(live.client.get("/v1/documents").json()["documents"], key=lambda each: each["num_chunks"])
    path, ordinals, offset = f"/v1/documents/{document['id']}", [], 0
    while offset is not None:
        page = live.client.get(path, params={"offset": offset, "limit": 2}).json()
        ordinals += [chunk["ordinal"] for chunk in page["chunks"]]
        offset = page["next_offset"]
    assert ordinals == list(range(document["num_chunks"]))


def test_several_files_are_several_jobs_in_the_collection_named(desk):
    files = [("file", ("a.md", NOTE + b"A")), ("file", ("b.md", NOTE + b"B"))]
    jobs = desk.client.post("/v1/documents", files=files, params={"collection": "two"}).json()["jobs"]
    assert [desk.wait_for_job(job["id"])["state"] for job in jobs] == ["done", "done"]
    listed = desk.client.get("/v1/documents", params={"collection": "two"}).json()["documents"]
    assert {each["name"] for each in listed} == {"a.md", "b.md"}
    collections = desk.client.get("/v1/collections").json()
    assert collections["default"] == "default"
    assert {"name": "two", "num_documents": 2}.items() <= next(
        each for each in collections["collections"] if each["name"] == "two"
    ).items()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"../../etc/passwd.md", "passwd.md"),
        (b"..\\..\\windows\\system.md", "system.md"),
        (b"/etc/cron.d/job.md", "job.md"),
        (b"a\x00b\x1b[31m.md", "ab[31m.md"),
        (b"x" * 300 + b".md", None),
        ("\u202egpj.md".encode(), "gpj.md"),
        (b"..", None),
    ],
)
def test_a_hostile_name_never_becomes_a_path(desk, sent, shown):
    home = desk.rag.settings.home
    before = {path for path in home.rglob("*") if "index" not in path.parts and "models" not in path.parts}
    response = desk.client.post(
        "/v1/documents",
        content=b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
        + sent
        + b'"\r\n\r\n'
        + NOTE
        + b"\r\n--b--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert response.status_code == 202, response.text
    job = desk.wait_for_job(response.json()["jobs"][0]["id"])
    assert len(job["name"]) <= 255
    assert "/" not in job["name"]
    assert job["name"] == (shown or job["name"])
    after = {path for path in home.rglob("*") if "index" not in path.parts and "models" not in path.parts}
    assert after == before


def test_a_name_with_line_breaks_stays_one_name(desk):
    job = desk.upload("a\r\nContent-Type: text/html\r\n\r\n.md", NOTE)
    assert "\n" not in job["name"]
    assert "\r" not in job["name"]


def test_an_upload_beyond_the_limit_is_refused_and_leaves_no_file(desk):
    response = desk.client.post("/v1/documents", files={"file": ("big.txt", b"x" * (1 << 20) + b"y")})
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert "1 MB" in response.json()["detail"]
    assert uploads_left(desk) == []


def test_a_far_too_large_upload_is_refused_before_it_is_sent(desk):
    host, port = desk.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_an_upload_of_unknown_length_is_counted_while_it_arrives(desk):
    def body():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 65536

    response = desk.client.post(
        "/v1/documents", content=body(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert response.status_code == 413
    assert uploads_left(desk) == []


def test_a_client_that_leaves_midway_leaves_no_file(desk, until):
    host, port = desk.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nsome text'
        )
        until(lambda: uploads_left(desk))
    until(lambda: not uploads_left(desk))


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"hello", "text/plain", 415),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422),
        (b"no boundary at all", "multipart/form-data; boundary=b", 422),
        (
            b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            422,
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ncut off',
            "multipart/form-data; boundary=b",
            422,
        ),
    ],
)
def test_a_body_that_is_not_an_upload_is_refused_and_leaves_no_file(desk, body, content_type, status):
    response = desk.client.post("/v1/documents", content=body, headers={"Content-Type": content_type})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert uploads_left(desk) == []


def test_too_many_files_at_once_are_refused(desk):
    files = [("file", (f"{number}.txt", b"x")) for number in range(51)]
    assert desk.client.post("/v1/documents", files=files).status_code == 413
    assert uploads_left(desk) == []


def test_a_file_of_no_known_kind_fails_with_the_reason(desk):
    job = desk.upload("picture.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 64)
    assert job["state"] == "failed"
    assert "image" in job["error"]
    assert uploads_left(desk) == []


def test_the_same_name_again_replaces_the_document(desk):
    first = desk.upload("versions.md", NOTE + b"first version")
    second = desk.upload("versions.md", NOTE + b"second version")
    listed = [each for each in desk.client.get("/v1/documents").json()["documents"] if each["name"] == "versions.md"]
    assert [each["id"] for each in listed] == [second["document_id"]]
    assert first["document_id"] != second["document_id"]


@pytest.mark.parametrize("path", ["/v1/documents/abcdef0123", "/v1/jobs/0123456789abcdef"])
def test_what_is_not_there_is_404(desk, path):
    response = desk.client.get(path)
    assert response.status_code == 404
    assert response.json()["instance"] == path


def test_every_demo_format_can_be_uploaded(desk):
    for name in ("calibration-procedure.docx", "merganser-3-manual.pdf", "service-and-returns.html"):
        job = desk.upload(name, (DEMO / name).read_bytes(), collection="formats")
        assert (job["state"], job["error"]) == ("done", None), name
