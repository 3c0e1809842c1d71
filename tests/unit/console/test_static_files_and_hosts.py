"""Static files by digest; hosts by name; templates that need nothing the policy forbids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roadworthy.console import assets as assets_module
from roadworthy.console.assets import Assets
from roadworthy.console.shield import POLICY, host_of

TEMPLATES = sorted((Path(str(assets_module.__file__)).parent / "templates").glob("*.html"))


def test_all_static_files_are_at_most_100_kb() -> None:
    """A page on a slow line is there at once."""
    assert 0 < Assets().size() <= 100_000


def test_a_file_is_served_under_its_own_digest_only() -> None:
    """The address names exact bytes, which a browser may keep; any other address is nothing."""
    assets = Assets()
    _, _, digest, name = assets.url("console.css").split("/")
    answer = assets.answer(digest, name)
    assert answer is not None
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    assert assets.answer("0" * 12, name) is None
    assert assets.answer(digest, "../app.py") is None


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_needs_an_inline_script_or_style(template: Path) -> None:
    """The content policy forbids them, so nothing may depend on one; nor may a value skip escaping."""
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert "|safe" not in text
    assert "autoescape" not in text


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_changes_something_carries_a_token(template: Path) -> None:
    """A form without its token would be refused."""
    for form in re.findall(r'<form[^>]*method="post".*?</form>', template.read_text(), re.DOTALL):
        assert 'name="csrf"' in form


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    """Neither inline code nor another site's."""
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "frame-ancestors 'none'" in POLICY


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ([(b"host", b"127.0.0.1:8081")], "127.0.0.1"),
        ([(b"host", b"LOCALHOST")], "localhost"),
        ([(b"host", b"[::1]:8081")], "[::1]"),
        ([(b"host", b"evil.example:8081")], "evil.example"),
        ([(b"host", b"127.0.0.1.evil.example")], "127.0.0.1.evil.example"),
        ([], ""),
        ([(b"host", b"127.0.0.1"), (b"host", b"evil.example")], ""),
    ],
)
def test_the_host_is_read_without_its_port(headers: list[tuple[bytes, bytes]], host: str) -> None:
    """A name that only begins like ours is another name; two names are none."""
    assert host_of({"type": "http", "headers": headers}) == host
