import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from pitikit.apis import download as module
from pitikit.apis.download import DownloadError, Release, download, resolve_checkpoint

DATA = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


class Site:
    """A server of one file, whose faults a test sets."""

    def __init__(self):
        self.data = DATA
        self.tag = '"one"'
        self.ranges = True
        self.break_after = []  # bytes of the body after which each next answer breaks off
        self.asked = []  # (Range, If-Range) of each request
        self.state_length = True
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/base.pt"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler):
        wanted, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
        self.asked.append((wanted, condition))
        if not handler.path.endswith("/base.pt"):
            return handler.send_error(404)
        start = 0
        if self.ranges and wanted and condition in (None, self.tag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(self.data):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(self.data)}")
                handler.send_header("Content-Length", "0")
                return handler.end_headers()
            handler.send_response(206)
            end = len(self.data) - 1
            handler.send_header("Content-Range", f"bytes {start}-{end}/{len(self.data)}")
        else:
            handler.send_response(200)
        body = self.data[start:]
        if self.state_length:
            handler.send_header("Content-Length", str(len(body)))
        if self.tag:
            handler.send_header("ETag", self.tag)
        handler.end_headers()
        handler.wfile.write(body[: self.break_after.pop(0)] if self.break_after else body)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    monkeypatch.setitem(module.RELEASES, "glide-base", Release(site.url, SHA256))
    yield site
    site.server.shutdown()
    site.server.server_close()


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_name_is_downloaded_once(site, tmp_path, capsys):
    path = resolve_checkpoint("glide-base", tmp_path / "cache")
    assert path.read_bytes() == DATA
    assert leftovers(path.parent) == ["glide-base.pt"]
    assert "base.pt" in capsys.readouterr().err  # the progress bar
    assert resolve_checkpoint("glide-base", tmp_path / "cache") == path
    assert site.asked == [(None, None)]


def test_the_cache_folder_comes_from_the_environment(site, tmp_path, monkeypatch):
    monkeypatch.setenv("PITIKIT_CACHE", str(tmp_path / "elsewhere"))
    assert resolve_checkpoint("glide-base") == tmp_path / "elsewhere" / "glide-base.pt"


def test_a_local_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glide-base").write_bytes(b"mine")
    assert resolve_checkpoint("glide-base").read_bytes() == b"mine"


def test_what_is_neither_file_nor_name_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"glide_base.*did you mean 'glide-base'"):
        resolve_checkpoint("glide_base")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        resolve_checkpoint(tmp_path)


def test_a_broken_connection_is_resumed_within_a_call(site, tmp_path):
    site.break_after = [100_000, 50_000]
    assert download(Release(site.url, SHA256), tmp_path / "a.pt").read_bytes() == DATA
    assert [wanted for wanted, _ in site.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_as_long_as_bytes_arrive_it_goes_on(site, tmp_path):
    site.break_after = [50_000] * 5
    assert download(Release(site.url, SHA256), tmp_path / "a.pt").read_bytes() == DATA
    assert len(site.asked) == 6


def test_a_weak_tag_is_no_condition(site, tmp_path):
    site.tag, site.break_after = 'W/"one"', [100_000]
    assert download(Release(site.url, SHA256), tmp_path / "a.pt").read_bytes() == DATA
    assert site.asked == [(None, None), ("bytes=100000-", None)]


def test_the_tag_of_other_bytes_goes_with_them(site, tmp_path):
    (tmp_path / "a.pt.part").write_bytes(b"x" * 1000)
    (tmp_path / "a.pt.part.etag").write_text('"old"')
    site.tag, site.break_after = None, [100_000]
    assert download(Release(site.url, SHA256), tmp_path / "a.pt").read_bytes() == DATA
    assert site.asked == [("bytes=1000-", '"old"'), ("bytes=100000-", None)]


def test_bytes_from_another_place_are_not_appended(site, tmp_path):
    right = site.answer

    def wrong(handler):
        site.asked.append((handler.headers.get("Range"), None))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.wfile.write(DATA)
        site.answer = right

    site.answer = wrong
    (tmp_path / "a.pt.part").write_bytes(DATA[:1000])
    assert download(Release(site.url, SHA256), tmp_path / "a.pt").read_bytes() == DATA
    assert site.asked == [("bytes=1000-", None), (None, None)]


def test_a_later_call_resumes_what_an_earlier_one_left(site, tmp_path):
    site.break_after = [100_000] + [0] * 9
    with pytest.raises(DownloadError, match="100000 of 300000 bytes.*100000 bytes are kept"):
        download(Release(site.url, SHA256), tmp_path / "a.pt")
    assert leftovers(tmp_path) == ["a.pt.part", "a.pt.part.etag"]
    site.break_after, site.asked = [], []
    assert download(Release(site.url, SHA256), tmp_path / "a.pt").read_bytes() == DATA
    assert site.asked == [("bytes=100000-", '"one"')]
    assert leftovers(tmp_path) == ["a.pt"]


def test_a_server_without_ranges_restarts(site, tmp_path):
    site.ranges = False
    (tmp_path / "a.pt.part").write_bytes(b"x" * 1000)
    assert download(Release(site.url, SHA256), tmp_path / "a.pt").read_bytes() == DATA


def test_a_file_replaced_meanwhile_restarts(site, tmp_path):
    (tmp_path / "a.pt.part").write_bytes(b"x" * 1000)
    (tmp_path / "a.pt.part.etag").write_text('"old"')
    assert download(Release(site.url, None), tmp_path / "a.pt").read_bytes() == DATA


@pytest.mark.parametrize("state_length", [True, False])
def test_a_complete_part_is_taken(site, tmp_path, state_length):
    site.state_length = state_length
    (tmp_path / "a.pt.part").write_bytes(DATA)
    assert download(Release(site.url, SHA256), tmp_path / "a.pt").read_bytes() == DATA
    (tmp_path / "b.pt.part").write_bytes(DATA + b"more")
    assert download(Release(site.url, SHA256), tmp_path / "b.pt").read_bytes() == DATA


def test_a_wrong_checksum_removes_the_file(site, tmp_path):
    site.data = DATA[:-1] + b"?"
    with pytest.raises(DownloadError, match=f"expected SHA-256 {SHA256}.*removed"):
        download(Release(site.url, SHA256), tmp_path / "a.pt")
    assert leftovers(tmp_path) == []


def test_a_damaged_part_is_found_by_the_checksum(site, tmp_path):
    (tmp_path / "a.pt.part").write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="SHA-256"):
        download(Release(site.url, SHA256), tmp_path / "a.pt")
    assert download(Release(site.url, SHA256), tmp_path / "a.pt").read_bytes() == DATA


def test_a_missing_file_and_a_missing_network_are_told_apart(site, tmp_path):
    with pytest.raises(DownloadError, match="404 Not Found"):
        download(Release(site.url + "x", None), tmp_path / "a.pt")
    with pytest.raises(DownloadError, match="refused.*Check the network"):
        download(Release("http://127.0.0.1:9/base.pt", None), tmp_path / "a.pt")
    assert leftovers(tmp_path) == []


def test_more_bytes_than_stated_are_an_error(tmp_path, monkeypatch):
    def fetch(url, part):
        part.write_bytes(b"12345")
        return 3

    monkeypatch.setattr(module, "fetch", fetch)
    with pytest.raises(DownloadError, match="expected 3 bytes, found 5"):
        download(Release("http://nowhere/base.pt"), tmp_path / "a.pt")
    assert leftovers(tmp_path) == []
