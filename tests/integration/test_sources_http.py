"""Downloads: which address is connected to, which redirects are followed, what is kept."""

import hashlib
import socket
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from urllib3 import HTTPResponse

from automl_assets.core.errors import AutoMLError, RequestError, ServiceError
from automl_assets.core.request.sections import Data
from resources.data_sources import ConfiguredDataSources
from resources.sources import http
from resources.sources._addresses import resolve
from resources.sources._urls import check_allowed, parse_url
from tests.web_server import Page, Request, Website, serving

CSV = b"a,b\n1,x\n2,y\n"
real_getaddrinfo = socket.getaddrinfo


def download(folder: Path, url: str, **options: Any) -> tuple[pl.DataFrame, str]:
    opened = ConfiguredDataSources(
        roots=(),
        home=folder,
        scratch=folder / "scratch",
        **{"url_prefixes": (url.rpartition("/")[0],), "allow_private_addresses": True, **options},
    )
    with opened.open(Data.model_validate({"path": url, "target": "a"})) as table:
        return table.frame.collect(), table.sha256()


def answers(names: dict[str, list[str]]) -> Any:
    """Return a resolver that gives the next address of a name at each call."""

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        address = names[host].pop(0) if names.get(host) else host
        return real_getaddrinfo(address, port, *args, **kwargs)

    return getaddrinfo


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    site = Website()
    site.pages["/t.csv"] = Page(CSV)

    with serving(site) as url:
        frame, digest = download(tmp_path, f"{url}/t.csv")

    assert frame.rows() == [(1, "x"), (2, "y")]
    assert digest == hashlib.sha256(CSV).hexdigest()


def test_a_download_without_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Website()
    site.pages["/t.csv"] = Page(CSV)
    monkeypatch.setattr(http, "WHOLE_SECONDS", -1)

    with serving(site) as url, pytest.raises(ServiceError, match="12 bytes had come by then"):
        download(tmp_path, f"{url}/t.csv")

    assert list((tmp_path / "scratch").glob("*/*")) == []


def test_the_type_of_the_content_says_the_format_where_the_name_does_not(tmp_path: Path) -> None:
    site = Website()
    site.pages["/export"] = Page(CSV, headers={"Content-Type": "text/csv; charset=utf-8"})

    with serving(site) as url:
        frame, _ = download(tmp_path, f"{url}/export")

    assert frame.columns == ["a", "b"]


def test_redirects_below_the_prefix_are_followed(tmp_path: Path) -> None:
    site = Website()
    site.pages["/t.csv"] = Page(status=302, headers={"Location": "/real.csv"})
    site.pages["/real.csv"] = Page(CSV)

    with serving(site) as url:
        frame, _ = download(tmp_path, f"{url}/t.csv")

    assert frame.height == 2


def test_a_redirect_to_a_private_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Website()
    site.pages["/t.csv"] = Page(status=302, headers={"Location": "http://inside.example/t.csv"})

    def lenient(host: str, port: int, *, allow_private: bool) -> str:
        return resolve(host, port, allow_private=allow_private or host == "127.0.0.1")

    monkeypatch.setattr(http, "resolve", lenient)
    monkeypatch.setattr(socket, "getaddrinfo", answers({"inside.example": ["10.0.0.7"]}))
    with serving(site) as url, pytest.raises(RequestError, match=r"reserved address 10\.0\.0\.7"):
        download(
            tmp_path,
            f"{url}/t.csv",
            url_prefixes=(url, "http://inside.example"),
            allow_private_addresses=False,
        )


def test_a_name_is_resolved_once_and_that_address_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Website()
    site.pages["/t.csv"] = Page(CSV)
    # A second question would be answered with an address where nothing listens.
    names = {"data.example": ["127.0.0.1", "127.9.9.9"]}
    monkeypatch.setattr(socket, "getaddrinfo", answers(names))

    with serving(site) as url:
        named = url.replace("127.0.0.1", "data.example")
        frame, _ = download(tmp_path, f"{named}/t.csv")

    assert frame.height == 2
    assert names == {"data.example": ["127.9.9.9"]}
    assert site.requests[0].headers["host"] == named.removeprefix("http://")


def test_one_private_address_among_several_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [real_getaddrinfo(ip, 80, type=socket.SOCK_STREAM)[0] for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)

    with pytest.raises(RequestError, match=r"10\.0\.0\.1"):
        resolve("data.example", 80, allow_private=False)


def test_a_broken_connection_is_tried_again(tmp_path: Path) -> None:
    n_asked = 0

    def answer(_: Request) -> Page:
        nonlocal n_asked
        n_asked += 1
        return Page(CSV, n_cut=3 if n_asked == 1 else 0)

    with serving(answer) as url:
        frame, digest = download(tmp_path, f"{url}/t.csv")

    assert (frame.height, n_asked) == (2, 2)
    assert digest == hashlib.sha256(CSV).hexdigest()


def test_nothing_is_asked_of_a_server_that_is_not_allowed(tmp_path: Path) -> None:
    site = Website()

    with serving(site) as url, pytest.raises(RequestError, match="AUTOML_DATA_URLS"):
        download(tmp_path, f"{url}/t.csv", url_prefixes=())

    assert site.requests == []


def test_a_failed_download_leaves_nothing(tmp_path: Path) -> None:
    site = Website()
    site.pages["/t.csv"] = Page(CSV, n_cut=2)

    with serving(site) as url, pytest.raises(ServiceError):
        download(tmp_path, f"{url}/t.csv")

    assert list((tmp_path / "scratch").glob("*/")) == []


@pytest.mark.parametrize("size", ["many", "-5", "²"])
def test_a_size_that_is_no_number_is_not_believed(tmp_path: Path, size: str) -> None:
    response = HTTPResponse(headers={"Content-Length": size})

    assert http._announced(response) == 0


def test_a_redirect_that_is_no_url_is_refused(tmp_path: Path) -> None:
    site = Website()
    site.pages["/t.csv"] = Page(status=302, headers={"Location": "http://[::1/t.csv"})

    with serving(site) as url, pytest.raises(RequestError, match="Redirects lead to http or https"):
        download(tmp_path, f"{url}/t.csv")


def test_a_server_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(ServiceError, match="in 3 attempts: NewConnectionError"):
        download(tmp_path, f"http://127.0.0.1:{port}/t.csv")


def test_queries_may_hold_secrets_and_are_not_shown(tmp_path: Path) -> None:
    site = Website()
    site.pages["/t.csv"] = Page(status=403)

    with serving(site) as url, pytest.raises(AutoMLError) as caught:
        download(tmp_path, f"{url}/t.csv?signature=hunter2")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("https://h.org/a/b.csv", "https://h.org/a/"),
        ("https://h.org/a/b.csv", "https://h.org/a"),
        ("https://H.ORG:443/a/b.csv", "https://h.org"),
        ("https://h.org/a%20b/c.csv", "https://h.org/a%20b/"),
        ("s3://bucket/x/y=1/", "s3://bucket/x"),
    ],
)
def test_what_lies_below_a_prefix_is_allowed(url: str, prefix: str) -> None:
    check_allowed(parse_url(url), ("https://other.org", prefix))
