"""What is masked, what is not, and that masking is steady."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards_kit import PERSONAL, SURROUNDINGS, benign_sentences, keys
from roadworthy.guards.masking import CLASSES, mask
from roadworthy.guards.personal_formats import keeps_luhn, keeps_mod97
from roadworthy.guards.secret_formats import base62_crc32

KEYS = keys()
VALUES = [(name, value) for name, values in PERSONAL.items() for value in values]


def test_the_samples_hold_twenty_formats_and_more() -> None:
    """The promise is twenty formats of keys; the samples are as many issuers at least."""
    assert len(KEYS) >= 25
    assert len(set(KEYS.values())) == len(KEYS)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("surrounding", SURROUNDINGS)
def test_a_key_is_masked_wherever_it_stands(name: str, surrounding: str) -> None:
    """In a sentence, in code, in JSON, in a table, alone: nothing of the key is left but who issued it."""
    key = KEYS[name]
    masked, counts = mask(surrounding.format(key), {"key"})
    assert sum(counts.values()) == 1
    assert "[key:" in masked
    assert not any(key[at : at + 10] in masked for at in range(len(key) - 9))


@pytest.mark.parametrize("name", sorted(set(KEYS) - {"private key"}))
def test_a_key_in_a_longer_word_of_letters_is_no_key(name: str) -> None:
    """A format is told by its form: half of it is left alone, so that its beginning may be talked about."""
    assert mask(f"keys begin with {KEYS[name][:7]} and go on", {"key"}).counts == {}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password = hunter2hunter2", "hunter2hunter2"),
        ('{"api_key": "a8f5f167f44f4964e6c998dee827110c"}', "a8f5f167f44f4964e6c998dee827110c"),
        ("DB_PASSWORD=Tr0ub4dor&3 ./run", "Tr0ub4dor"),
        ("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCY9aX2mPLEK1", "wJalrXUtnFEMI"),
        ("the token is 9f8e7d6c5b4a3f2e", "9f8e7d6c5b4a3f2e"),
        ('client_secret: "xK9-mm2-pQ7z"', "xK9-mm2-pQ7z"),
        ('{\\"token\\": \\"9f8e7d6c5b4a3f2e\\"}', "9f8e7d6c5b4a3f2e"),
        ("config['secret'] = 'aaBB11cc22'", "aaBB11cc22"),
        ("postgres://bob:s3cr%t9@db/orders", "s3cr%t9"),
        ("redis://:p4ssw0rd@127.0.0.1:6379/0", "p4ssw0rd"),
        ("AccountName=a;AccountKey=" + "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1" * 2 + "==;", "Eby8vdM02x"),
        ("Authorization: Bearer abcdef0123456789XYZ", "abcdef0123456789XYZ"),
        ("https://hooks.slack.com/services/T01234567/B01234567/aB3dE5gH7jK9mN1pQ3sT5vX7", "aB3dE5gH"),
    ],
)
def test_a_password_is_masked_where_it_is_assigned(text: str, secret: str) -> None:
    """A secret without a format is told by the name it is given; the name stays."""
    masked = mask(text, {"key"})
    assert secret not in masked.text
    assert masked.text[:4] == text[:4]
    assert sum(masked.counts.values()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "password: required, at least 12 characters",
        "token = os.environ['TOKEN_2']",
        "api_key = settings.api_key2",
        "password = ${DB_PASSWORD_1}",
        "token = get_token(7)",
        "the secret is out",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-this-is-a-chain-of-words-and-no-key",
        "eyJub3QiOiJhIGp3dCJ9.eyJub3QiOiJhIGp3dCJ9.abc",
    ],
)
def test_talk_about_a_secret_is_no_secret(text: str) -> None:
    """Stand-ins, calls, names of variables and words are left alone."""
    assert mask(text) == (text, {})


def test_a_github_token_with_its_checksum_is_masked_however_plain_it_looks() -> None:
    """The checksum proves a token that its few different characters would let pass for a stand-in."""
    body = "a" * 30
    assert mask(f"ghp_{body}{base62_crc32(body)}").counts == {"key:github": 1}
    assert mask(f"ghp_{body}aaaaaa").counts == {}


@pytest.mark.parametrize(("name", "value"), VALUES)
@pytest.mark.parametrize("surrounding", SURROUNDINGS)
def test_a_personal_value_is_masked_wherever_it_stands(name: str, value: str, surrounding: str) -> None:
    """The value is gone, its class stands in its place, and what surrounds it is untouched."""
    assert mask(surrounding.format(value), {name}) == (surrounding.format(f"[{name}]"), {name: 1})


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # the check digit is wrong
        "1234 5678 9012 3452",  # no issuer
        "GB29 NWBK 6016 1331 9268 18",
        "DE8937040044053201300",
        "000-45-6789 and 666-45-6789 and 900-45-6789 and 123-00-6789 and 123-45-0000",
        "12345678A",
        "529.982.247-26",
        "999.1.1.1 and 127.0.0.1 and 255.255.255.0 and version 1.2.3.4 and std::vector and 12:34:56",
        "2024-01-02 03:04:05 and 2024/01/02 and 01.02.2024",
        "1,234,567,890 rows in 0.123456789 s, 1e-9, 3.14159265358979",
        "commit 3f2a91b0c7d845e6f01a2b3c4d5e6f7081920a1b",
        "1700000000000000 µs",
        "(2.1 - 0.5) / 10 000 000",
    ],
)
def test_a_number_that_breaks_its_rule_is_left(text: str) -> None:
    """Checksums and numbering plans tell a person's number from a number."""
    assert mask(text) == (text, {})


def test_only_what_is_forbidden_is_masked() -> None:
    """A class that may pass passes."""
    text = "ann@example.com, 4111 1111 1111 1111"
    assert mask(text, {"email"}).text == "[email], 4111 1111 1111 1111"
    assert mask(text, {"card", "health"}).text == "ann@example.com, [card]"
    assert mask(text, ()).text == text


def test_a_card_is_found_between_other_numbers() -> None:
    """A count before it and a check number behind it do not hide a card."""
    assert mask("2 4111 1111 1111 1111 123", {"card"}).text == "2 [card] 123"


def test_two_secrets_that_touch_leave_nothing() -> None:
    """Where two finds overlap, all that either covers is gone."""
    masked = mask("postgres://bob:s3cr3tpw@db.example.com/x")
    assert "s3cr3t" not in masked.text
    assert mask("ann@example.com4111 1111 1111 1111").text.count("1111") <= 3


pieces = st.sampled_from(
    [
        *KEYS.values(),
        *(value for _, value in VALUES),
        " ",
        "\n",
        "a",
        "1",
        "-",
        ".",
        "@",
        "+",
        "(",
        "]",
        "password=",
        ":",
    ]
)


@given(st.lists(pieces, max_size=8).map("".join))
def test_masking_twice_is_masking_once(text: str) -> None:
    """A masked text may be masked again by the log, the cache and the provider: nothing more happens."""
    once = mask(text).text
    assert mask(once) == (once, {})


@given(st.text(max_size=200))
def test_any_text_can_be_masked(text: str) -> None:
    """No text makes masking fail, and one without finds is the same object's text."""
    masked = mask(text)
    assert masked.text == text or masked.counts


def test_benign_prose_is_left_alone() -> None:
    """At most one sentence in two hundred of ordinary technical prose is altered."""
    sentences = benign_sentences()
    assert len(sentences) >= 500
    altered = [sentence for sentence in sentences if mask(sentence, CLASSES).counts]
    assert len(altered) <= 0.005 * len(sentences), altered[:5]


@given(st.text(alphabet="0123456789", min_size=12, max_size=18))
def test_exactly_one_check_digit_makes_a_card_number(digits: str) -> None:
    """Luhn's digit is unique, so nine of ten random numbers are no cards."""
    assert sum(keeps_luhn(digits + check) for check in "0123456789") == 1


@given(st.integers(0, 21), st.sampled_from("0123456789"))
def test_a_changed_digit_breaks_an_iban(place: int, digit: str) -> None:
    """Every single wrong digit is noticed by the remainder of 97."""
    good = "DE89370400440532013000"
    changed = good[:place] + digit + good[place + 1 :]
    assert keeps_mod97(changed) == (changed == good)
