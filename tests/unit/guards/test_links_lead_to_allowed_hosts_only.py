"""The egress guard: every spelling of a link, and what is no link."""

from __future__ import annotations

import pytest

from guards_kit import benign_sentences
from roadworthy.errors import InputError
from roadworthy.guards.egress import EgressGuard
from roadworthy.guards.hosts import AllowList
from roadworthy.guards.links import plain_links, undisguised
from roadworthy.ports.guard import Act, GuardContext

CONTEXT = GuardContext(allowed_hosts=("docs.example.com", "*.ok.org", "host:8443"))
FOREIGN = (
    "https://evil.com/x?q=1",
    "HTTPS://EVIL.COM",
    "ftp://evil.com",
    "wss://evil.com/s",
    "https:evil.com",
    "https:/\\evil.com",
    "![i](https://evil.com/a.png)",
    "[t](https://evil.com)",
    "[t](//evil.com/x)",
    "[r]: https://evil.com 'x'",
    "<https://evil.com>",
    "[https://docs.example.com](https://evil.com/)",
    "![a][b]\n\n[b]: //evil.com/p",
    "<img src='//evil.com/a'>",
    '<img src="https://ev\nil.com/a">',
    '<a href="ht&#116;ps://evil.com">x</a>',
    "<meta http-equiv=refresh content='0;url=//evil.com'>",
    '<div style="background:url(//evil.com/x)">',
    '<img srcset="//evil.com/a 2x">',
    '<a href="/\\evil.com">x</a>',
    "<form action=http://evil.com/f>",
    "www.evil.com",
    "evil.com/path",
    "evil.com",
    "sub.evil.co.uk",
    "evil.io/x",
    "evil.py:8080",
    "1.2.3.4/x",
    "//evil.com",
    "\\\\evil.com\\share",
    "data:text/html;base64,PHNjcmlwdD4=",
    "javascript:alert(1)",
    "vbscript:x",
    "file:///etc/passwd",
    "mailto:a@evil.com",
    "https://docs.example.com@evil.com/",
    "https://docs.example.com\\@evil.com",
    "https://good@docs.example.com/",
    "https://docs.example.com.evil.com",
    "https://docs.example.com:8080/",
    "https://docs.example.com,evil.com/",
    "https://ok.org/",
    "https://notok.org",
    "http://host/",
    "https://xn--dcs-jua.example.com/",
    "https://d\u043ecs.example.com/",
    "https%3A%2F%2Fevil.com%2Fx",
    "https%253A%252F%252Fevil.com",
    "https://docs.example.com%2eevil.com/",
    "//evil%2ecom/x",
    "&#47;&#47;evil.com",
    "https&colon;//evil.com",
    "https:&sol;&sol;evil.com",
    "\\x68ttps://evil.com",
    "\\u0068ttps://evil.com",
    "h\u200bttps://ev\u200bil.com/x",
    "https://ev\u00adil.com",
    "https://evil\u3002com/x",
    "\uff48ttps://evil.com",
    "https:\u2215\u2215evil.com",
    "https://[::1]/",
    "http://1.2.3.4/x",
    "http://0x7f000001/",
    "http://2130706433/",
    "https://\u0435vil.com",
)
HARMLESS = (
    "https://docs.example.com/a_(b)#c",
    "see https://a.ok.org, and (https://docs.example.com/x).",
    "HTTPS://DOCS.EXAMPLE.COM/",
    "[a](https://docs.example.com/x) [b](../y.md#z) [c](#top)",
    "https://host:8443/ and host:8443",
    "https://docs.example.com:443/",
    "README.md app.py node.js foo.bar() self.name logger.info e.g. i.e. 3.14",
    "ASP.NET System.IO a.b.c 1.2.3",
    "mail a@b.com",
    "// a comment.here",
    "C:\\temp\\x.txt \\n \\\\",
    "ratio 3:4 key: value; std::vector<int> x<y",
    "data: foo javascript: bar",
    "5//3 and a//b.c",
    "a/b/c.d/e",
    "50%25 \u00fcber",
    "print('%s' % x)",
    "<b>bold</b> &amp; &lt;",
    "10.0.0.0/8",
    "https://docs.example.com./x",
    "\\frac{a}{b} \\\\alpha.x",
    "\u201cquoted\u201d.End of it\u2026Then",
    "xmlns:a=b c:d e::f",
)


@pytest.mark.parametrize("link", FOREIGN)
def test_no_spelling_of_a_foreign_link_leaves(link: str) -> None:
    """Whatever a browser or chat window would follow is gone, and what is left leads nowhere."""
    ruling = EgressGuard().answer(f"see {link} now", CONTEXT)
    assert ruling.action is Act.ALTER
    assert ruling.hits
    assert "[link removed]" in ruling.text
    left = [one for one in plain_links(undisguised(ruling.text), bare=True) if one.authority != "docs.example.com"]
    assert left == []
    assert ruling.text.startswith("see ")
    assert ruling.text.endswith(" now")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_leads_nowhere_foreign_is_left(text: str) -> None:
    """Allowed hosts, file names, code and punctuation pass as they are."""
    assert EgressGuard().answer(text, CONTEXT).text == text


@pytest.mark.parametrize("link", FOREIGN)
def test_an_answer_with_a_foreign_link_is_blocked_where_the_owner_says_so(link: str) -> None:
    """With `on_foreign: block` nothing of the answer leaves, and the reason does not repeat the link."""
    ruling = EgressGuard({"on_foreign": "block"}).answer(f"see {link} now", CONTEXT)
    assert (ruling.action, ruling.text) == (Act.BLOCK, "")
    assert "evil" not in ruling.reason


def test_an_empty_allow_list_lets_no_link_out() -> None:
    """Without a host there is none to be trusted."""
    assert EgressGuard().answer("go to https://docs.example.com", GuardContext()).action is Act.ALTER


def test_bare_names_are_left_where_the_owner_says_so() -> None:
    """A system that talks about hosts may name them; a link with a scheme is still removed."""
    guard = EgressGuard({"bare_hosts": False})
    assert guard.answer("evil.com", CONTEXT).text == "evil.com"
    assert guard.answer("https://evil.com", CONTEXT).action is Act.ALTER


def test_hosts_may_be_given_as_a_parameter() -> None:
    """What a manifest states counts like what the context brings."""
    assert EgressGuard({"hosts": ["evil.com"]}).answer("https://evil.com/x", CONTEXT).action is Act.ALLOW


def test_a_host_is_admitted_in_its_exact_spelling() -> None:
    """`*.` means below it and not itself; a port is part of the entry; letters of other scripts are other hosts."""
    hosts = AllowList(["example.com", "*.example.org", "host:8443", "b\u00fccher.de"])
    assert hosts.admits("EXAMPLE.com.")
    assert hosts.admits("a.b.example.org")
    assert hosts.admits("host:8443")
    assert hosts.admits("xn--bcher-kva.de")
    for other in (
        "example.org",
        "badexample.org",
        "host",
        "host:1",
        "a.example.com",
        "ex\u0430mple.com",
        "",
        "a@example.com",
    ):
        assert not hosts.admits(other)


@pytest.mark.parametrize("parameters", [{"on_foreign": "laugh"}, {"nosuch": 1}, {"hosts": "a.com"}, {"bare_hosts": 1}])
def test_a_wrong_parameter_is_refused(parameters: dict[str, object]) -> None:
    """A guard never runs with a parameter that it does not understand."""
    with pytest.raises(InputError):
        EgressGuard(parameters)


def test_benign_prose_keeps_its_words() -> None:
    """At most one sentence in two hundred without a link is altered, though no host is allowed."""
    sentences = benign_sentences()
    altered = [one for one in sentences if EgressGuard().answer(one, GuardContext()).hits]
    assert len(altered) <= 0.005 * len(sentences), altered[:5]
