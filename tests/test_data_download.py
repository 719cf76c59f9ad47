"""Downloads of data sets from a server on this machine: nothing here uses the real network."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reverie.data import download
from reverie.data.download import PUBLIC, PublicFile, PublicSet, fetch
from reverie.utils.errors import UserError

BODY = bytes(range(256)) * 4000  # about a megabyte: several chunks
WRONG = BODY[::-1]


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how the file is served: /plain/, /norange/, /cut/, /wrong/, /long/, ..."""

    server: Server

    def do_GET(self) -> None:
        how, _, name = self.path.lstrip("/").partition("/")
        asked = self.headers.get("Range")
        self.server.requests_seen[how, asked] += 1
        body = self.server.files.get(name, b"")
        if how == "missing" or not body:
            return self.send_error(404)
        if how == "away":
            return self.answer(302, b"", Location="ftp://127.0.0.1/data.bin")
        if how == "stale" and asked:
            return self.send_error(416)
        if how == "long":  # no length is announced, and the body does not end where it should
            return self.answer(200, body + b"x", length=None)
        if how == "short":
            return self.answer(200, body[:-1])
        if how == "wrong":
            body = body[::-1]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and how != "norange" else 0
        headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        sent = body[start:] if how != "cut" or start else body[: len(body) // 2]
        return self.answer(206 if start else 200, sent, length=len(body) - start, **headers)

    def answer(self, code: int, body: bytes, length: int | None = -1, **headers: str) -> None:
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"data.bin": BODY}
        self.requests_seen: Counter[tuple[str, str | None]] = Counter()
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def requests(self) -> int:
        return sum(self.requests_seen.values())


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and no proxy between it and its server."""
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "public"


@pytest.fixture
def register(server: Server, monkeypatch: pytest.MonkeyPatch):
    def _register(*hows: str, name: str = "data.bin", body: bytes = BODY, unpack: bool = False) -> None:
        """Register the set `toy`, whose one file is served by the test's server in these ways."""
        server.files[name] = body
        urls = tuple(f"{server.base}/{how}/{name}" for how in hows)
        file = PublicFile(urls, hashlib.sha256(body).hexdigest(), len(body))
        monkeypatch.setitem(PUBLIC, "toy", PublicSet("toy", "A toy", "none", (file,), unpack))

    return _register


def no_wait(seconds: float) -> None:
    pass


def partial_file(home: Path, content: bytes) -> None:
    """What an interrupted download has left behind."""
    (home / "toy.partial").mkdir(parents=True)
    (home / "toy.partial" / "data.bin.part").write_bytes(content)


def failure(*, wait=no_wait) -> str:
    """The one line that fetching `toy` ends in."""
    with pytest.raises(UserError) as caught:
        fetch("toy", wait=wait)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_registry_is_well_formed() -> None:
    for name, entry in PUBLIC.items():
        assert entry.name == name
        assert entry.title
        assert entry.note
        assert len({file.name for file in entry.files}) == len(entry.files)
        for file in entry.files:
            assert len(file.sha256) == 64
            assert set(file.sha256) <= set("0123456789abcdef")
            assert file.bytes > 0
            assert all(url.startswith(("http://", "https://")) and url.endswith(file.name) for url in file.urls)
            assert not entry.unpack or file.name.endswith(".tar.gz")


def test_download_then_cache(server: Server, register, home: Path) -> None:
    register("plain")
    folder = fetch("toy")
    assert folder == home / "toy"
    assert (folder / "data.bin").read_bytes() == BODY
    assert sorted(path.name for path in home.iterdir() if path.suffix != ".lock") == ["toy"]
    assert server.requests == 1
    assert fetch("toy") == folder
    assert server.requests == 1


def test_damaged_cache_is_fetched_again(server: Server, register) -> None:
    register("plain")
    (fetch("toy") / "data.bin").write_bytes(b"cut")
    assert (fetch("toy") / "data.bin").read_bytes() == BODY
    assert server.requests == 2


def test_files_of_the_user_are_kept(register, home: Path) -> None:
    register("plain")
    (home / "toy").mkdir(parents=True)
    (home / "toy" / "diary.txt").write_text("mine")
    assert "did not put there" in failure()
    assert (home / "toy" / "diary.txt").read_text() == "mine"


def test_resumes_a_partial_file(server: Server, register, home: Path) -> None:
    register("plain")
    partial_file(home, BODY[:1000])
    assert (fetch("toy") / "data.bin").read_bytes() == BODY
    assert server.requests_seen == {("plain", "bytes=1000-"): 1}


def test_complete_partial_file_needs_no_network(server: Server, register, home: Path) -> None:
    register("plain")
    partial_file(home, BODY)
    assert (fetch("toy") / "data.bin").read_bytes() == BODY
    assert server.requests == 0


@pytest.mark.parametrize("how", ["norange", "stale"])
def test_starts_over_where_the_server_does_not_resume(register, home: Path, how: str) -> None:
    register(how)
    partial_file(home, BODY[:1000])
    assert (fetch("toy", wait=no_wait) / "data.bin").read_bytes() == BODY


@pytest.mark.parametrize("content", [b"junk" * 100, WRONG, BODY + b"more"], ids=["short", "same size", "longer"])
def test_starts_over_from_a_wrong_partial_file(register, home: Path, content: bytes) -> None:
    register("plain")
    partial_file(home, content)
    assert (fetch("toy", wait=no_wait) / "data.bin").read_bytes() == BODY


def test_cut_connection_is_resumed(server: Server, register) -> None:
    register("cut")
    waited: list[float] = []
    assert (fetch("toy", wait=waited.append) / "data.bin").read_bytes() == BODY
    assert server.requests_seen == {("cut", None): 1, ("cut", f"bytes={len(BODY) // 2}-"): 1}
    assert waited == [download.PAUSES[0]]


def test_wrong_bytes_are_refused_and_removed(register, home: Path) -> None:
    register("wrong")
    message = failure()
    assert hashlib.sha256(BODY).hexdigest() in message
    assert hashlib.sha256(WRONG).hexdigest() in message
    assert "--data" in message
    assert not list(home.rglob("data.bin*"))


@pytest.mark.parametrize("bad", ["wrong", "missing", "long", "short", "away"])
def test_next_mirror_is_tried(server: Server, register, bad: str) -> None:
    register(bad, "plain")
    assert (fetch("toy", wait=no_wait) / "data.bin").read_bytes() == BODY
    assert server.requests_seen[bad, None] == 1  # such a failure is not worth a second try


def test_not_found(register) -> None:
    register("missing")
    message = failure()
    assert "HTTP 404" in message
    assert "/missing/data.bin" in message


def test_a_body_that_is_too_long_is_refused(register, home: Path) -> None:
    register("long")
    assert f"more than the {len(BODY)} bytes" in failure()
    assert not list(home.rglob("data.bin*"))


def test_only_http_is_followed(register, monkeypatch: pytest.MonkeyPatch) -> None:
    register("away")
    assert "neither http nor https" in failure()
    file = PublicFile(("file:///etc/hostname",), "0" * 64, 1)
    monkeypatch.setitem(PUBLIC, "toy", PublicSet("toy", "A toy", "none", (file,)))
    assert "neither http nor https" in failure()


def test_no_network(server: Server, register) -> None:
    register("plain")
    server.shutdown()
    server.server_close()
    waited: list[float] = []
    message = failure(wait=waited.append)
    assert f"{server.base}/plain/data.bin" in message
    assert "--data" in message
    assert tuple(waited) == download.PAUSES


def test_full_disk(register, monkeypatch: pytest.MonkeyPatch) -> None:
    register("plain")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    message = failure()
    assert "No space left on device" in message
    assert "REVERIE_CACHE" in message


def test_two_at_once_download_once(server: Server, register) -> None:
    register("plain")
    threads = [threading.Thread(target=fetch, args=("toy",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == 1
    assert (fetch("toy") / "data.bin").read_bytes() == BODY


def test_unknown_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'mnist'"):
        fetch("mnits")


def test_progress_is_shown_when_asked_for(register, capsys: pytest.CaptureFixture[str]) -> None:
    register("plain")
    fetch("toy", progress=True)
    assert "data.bin" in capsys.readouterr().err


def test_no_progress_without_a_terminal(register, capsys: pytest.CaptureFixture[str]) -> None:
    register("plain")
    fetch("toy")
    assert capsys.readouterr().err == ""


def test_what_another_process_has_finished_is_not_downloaded_again(
    server: Server, register, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextlib.contextmanager
    def lock(place: Path, timeout: float) -> Iterator[None]:
        place.with_suffix("").write_bytes(BODY)  # by the process that this one waits for
        yield

    register("plain")
    (file,) = PUBLIC["toy"].files
    monkeypatch.setattr(download, "FileLock", lock)
    assert download.fetch_file(file, "weights", "name a file").read_bytes() == BODY
    assert (server.requests, capsys.readouterr().err) == (0, "")


def archive(*members: tuple[str, bytes], link: str | None = None) -> bytes:
    """A tar.gz with these files, and a symbolic link to `link`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return buffer.getvalue()


def test_archive_is_unpacked(server: Server, register, home: Path) -> None:
    register("plain", name="a.tar.gz", body=archive(("top/a.bin", b"1"), ("top/sub/b.bin", b"22")), unpack=True)
    folder = fetch("toy")
    assert (folder / "a.bin").read_bytes() == b"1"
    assert (folder / "sub" / "b.bin").read_bytes() == b"22"
    assert sorted(path.name for path in home.iterdir() if path.suffix != ".lock") == ["toy"]
    fetch("toy")
    assert server.requests == 1


@pytest.mark.parametrize(
    "body",
    [archive(("../../out.bin", b"1")), archive(("a", b"1"), link="/etc/passwd"), BODY],
    ids=["climbs out", "link", "no archive"],
)
def test_bad_archive_is_refused(register, home: Path, body: bytes) -> None:
    register("plain", name="a.tar.gz", body=body, unpack=True)
    assert "a.tar.gz" in failure()
    assert not (home / "toy").exists()
    assert not list(home.parent.parent.rglob("out.bin"))


def test_archive_that_exceeds_the_limit_is_refused(register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "UNPACK_LIMIT", 10_000)
    register("plain", name="a.tar.gz", body=archive(("zeros", bytes(20_000))), unpack=True)
    assert "10000 bytes" in failure()
