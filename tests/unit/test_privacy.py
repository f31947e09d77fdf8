"""Personal data is found by its pattern, and nothing else is."""

import ipaddress
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.leakage.personal_patterns import PATTERNS, luhn_holds, mod_97_holds
from automl_assets.core.leakage.privacy import find_personal
from automl_assets.core.profile import profile_table
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import Finding

N_ROWS = 400
DIGITS = string.digits


def make_request(pii: str | None = None, **data: Any) -> TrainingRequest:
    privacy = {} if pii is None else {"privacy": {"pii": pii}}
    return TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "ada",
            "data": {"path": "churn.csv", "target": "y", **privacy, **data},
        }
    )


def found_in(values: Sequence[Any], *, name: str = "c", **data: Any) -> Finding | None:
    """Return what is found in a column; its values are repeated so that it stays a feature."""
    repeated = [values[n % len(values)] for n in range(N_ROWS)]
    table = pl.DataFrame(
        {"y": [n % 2 for n in range(N_ROWS)], "x": [n % 9 for n in range(N_ROWS)], name: repeated}
    ).lazy()
    request = make_request(**data)
    found = find_personal(table, profile_table(table, request), request)
    assert len(found) <= 1
    return found[0] if found else None


def with_check_digit(number: str) -> str:
    """Complete a card number: the digit at which the weighted sum ends in 0."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return number + str(-total % 10)


def with_check_digits(country: str, account: str) -> str:
    """Complete an IBAN: 98 less the remainder of its digits, letters from A = 10."""
    digits = "".join(str(int(letter, 36)) for letter in account + country + "00")
    return f"{country}{98 - int(digits) % 97:02}{account}"


MAILS = [f"{name}.{n}@{host}" for n, name in enumerate(["ada", "bob", "eve"] * 20) for host in
         ("example.com", "mail.example.co.uk")]  # fmt: skip
IBANS = [with_check_digits("DE", f"{n * 7919:018}") for n in range(1, 61)]
CARDS = [with_check_digit(f"4{n * 104729:014}") for n in range(1, 61)]

PERSONAL: dict[str, tuple[str, list[Any]]] = {
    "mails": ("e-mail addresses", MAILS),
    "mails in notes": (
        "e-mail addresses",
        [f"please write to {mail}, or call" for mail in MAILS[:10]] + ["no answer"] * 90,
    ),
    "ibans": ("IBANs", IBANS),
    "spaced ibans": (
        "IBANs",
        [" ".join(iban[n : n + 4] for n in range(0, 22, 4)) for iban in IBANS],
    ),
    "british ibans": (
        "IBANs",
        [with_check_digits("GB", f"WEST{n * 31:014}") for n in range(1, 61)],
    ),
    "cards": ("payment card numbers", CARDS),
    "spaced cards": (
        "payment card numbers",
        [" ".join(card[n : n + 4] for n in range(0, 16, 4)) for card in CARDS],
    ),
    "cards as numbers": ("payment card numbers", [int(card) for card in CARDS]),
    "amex": (
        "payment card numbers",
        [with_check_digit(f"37{n * 6151:012}") for n in range(1, 61)],
    ),
    "international phones": (
        "phone numbers",
        [f"+4930{n * 7919 % 10**7:07}" for n in range(1, 61)],
    ),
    "spaced phones": ("phone numbers", [f"+44 20 7946 {n:04}" for n in range(1, 61)]),
    "american phones": ("phone numbers", [f"(415) 555-{n:04}" for n in range(1, 61)]),
    "dotted phones": ("phone numbers", [f"415.555.{n:04}" for n in range(1, 61)]),
    "german phones": ("phone numbers", [f"030/{n * 7919 % 10**6 + 10**6}" for n in range(1, 61)]),
    "french phones": ("phone numbers", [f"01 42 68 53 {n:02}" for n in range(1, 61)]),
    "ipv4": ("IP addresses", [f"192.168.{n}.{n + 9}" for n in range(1, 61)]),
    "ipv6": ("IP addresses", [f"2001:db8:0:{n:x}::1" for n in range(1, 61)]),
    "long ipv6": ("IP addresses", [f"2001:db8:0:{n:x}:1:2:3:4" for n in range(1, 61)]),
}


@pytest.mark.parametrize(("kind", "values"), PERSONAL.values(), ids=PERSONAL)
def test_personal_data_is_found_and_not_shown(kind: str, values: list[Any]) -> None:
    found = found_in(values)

    assert found is not None
    assert found.rule == "personal data"
    assert f"'c' holds {kind} in " in found.detail
    assert not [value for value in values if str(value) in found.detail]


IMPERSONAL: dict[str, list[Any]] = {
    "words": ["basic", "plus", "gold"],
    "sentences": [f"the {n}th order, @ half the price" for n in range(60)],
    "handles": [f"@user{n}" for n in range(60)],
    "dates": [f"2026-01-{n % 28 + 1:02}" for n in range(60)],
    "german dates": [f"{n % 28 + 1:02}.03.2026" for n in range(60)],
    "american dates": [f"{n % 12 + 1:02}/{n % 28 + 1:02}/2026" for n in range(60)],
    "dashed dates": [f"{n % 28 + 1:02}-03-2026" for n in range(60)],
    "moments": [f"2026-01-{n % 28 + 1:02} 10:{n:02}:00" for n in range(60)],
    "times": [f"12:{n:02}:30" for n in range(60)],
    "versions": [f"2.{n}.{n % 7}.1" for n in range(60)],
    "builds": [f"10.0.19041.{n}" for n in range(60)],
    "mac addresses": [f"00:1b:44:11:3a:{n:02x}" for n in range(60)],
    "paths": [f"std::vector::{n}" for n in range(60)],
    "amounts": [f"+{n}.50" for n in range(60)],
    "grouped amounts": [f"1 {n % 900 + 100} 000" for n in range(60)],
    "isbn": [f"978-3-16-14841{n:02}-0" for n in range(60)],
    "plain phone-like ids": [f"{n * 7919 % 10**6 + 4 * 10**9}" for n in range(60)],
    "uuids": [f"{n:08x}-1234-4abc-8def-0123456789ab" for n in range(60)],
    "epoch seconds": [1_700_000_000 + 997 * n for n in range(60)],
    "epoch milliseconds": [1_700_000_000_000 + 997 * n for n in range(60)],
    "vat numbers": [f"DE{n * 104729 % 10**9:09}" for n in range(60)],
    "order numbers": [f"AB{n * 104729:012}XY" for n in range(60)],
    "zip codes": [f"{n * 997 % 10**5:05}" for n in range(60)],
    "zip+4": [f"{n * 997 % 10**5:05}-{n:04}" for n in range(60)],
    "social security-like": [f"{n + 100}-{n:02}-{n + 1000}" for n in range(60)],
    "urls": [f"https://example.com/{n}?q=1" for n in range(60)],
    "coordinates": [f"52.{n:05}, 13.{n:05}" for n in range(60)],
}


@pytest.mark.parametrize("values", IMPERSONAL.values(), ids=IMPERSONAL)
def test_other_texts_and_numbers_are_not_suspected(values: list[Any]) -> None:
    assert found_in(values) is None


@pytest.mark.parametrize("values", [[4_155_550_000 + 7 * n for n in range(60)],
                                    [f"0{1712345678 + 7 * n}" for n in range(60)]])  # fmt: skip
def test_digits_alone_are_phone_numbers_if_the_column_says_so(values: list[Any]) -> None:
    found = found_in(values, name="Phone_Home")

    assert found is not None
    assert "'Phone_Home' holds phone numbers" in found.detail
    assert found_in(values, name="account") is None


def test_few_matches_are_not_enough() -> None:
    table = pl.DataFrame(
        {
            "y": [n % 2 for n in range(N_ROWS)],
            "c": [MAILS[n] if n < 19 else None for n in range(N_ROWS)],
            "x": [n % 9 for n in range(N_ROWS)],
        }
    ).lazy()

    request = make_request()

    assert find_personal(table, profile_table(table, request), request) == ()


def test_a_feature_that_tells_persons_apart_is_dropped_by_default() -> None:
    found = found_in(MAILS)

    assert found is not None
    assert found.action == "dropped"
    assert found.value == 1.0
    assert "in 400 of 400 values (100.0%)" in found.detail
    assert "It is still in the snapshot" in found.detail


def test_a_feature_of_few_values_stays_a_category_and_is_told() -> None:
    found = found_in(MAILS[:3], pii="warn")

    assert found is not None
    assert found.action == "warned"
    assert "With 3 different values it stays as a category" in found.detail


def test_a_column_that_is_no_feature_is_told_because_it_is_stored() -> None:
    found = found_in(MAILS, id="c")

    assert found is not None
    assert found.action == "warned"
    assert "It is no feature, but it is in the snapshot" in found.detail


@pytest.mark.parametrize("data", [{}, {"id": "c"}, {"group": "c"}])
def test_block_refuses_the_run_whatever_the_column_is_for(data: dict[str, Any]) -> None:
    found = found_in(MAILS[:3], pii="block", **data)

    assert found is not None
    assert found.action == "blocked"
    assert "data.privacy.pii is block: exclude it" in found.detail


def test_allow_looks_at_nothing() -> None:
    assert found_in(MAILS, pii="allow") is None


@pytest.mark.parametrize("pii", ["warn", "block"])
def test_a_kept_column_stays(pii: str) -> None:
    found = found_in(MAILS, pii=pii, features={"keep": ["c"]})

    assert found is not None
    assert found.action == "kept"


def test_all_rows_are_counted_though_a_sample_made_the_column_suspicious() -> None:
    n_rows = 30_000
    table = pl.DataFrame(
        {
            "y": np.arange(n_rows) % 2,
            "x": np.arange(n_rows) % 9,
            "contact": [IBANS[n % 60] if n % 3 else "none" for n in range(n_rows)],
        }
    ).lazy()
    request = make_request()

    found = find_personal(table, profile_table(table, request), request)

    assert "IBANs in 20,000 of 30,000 values" in found[0].detail


@given(st.lists(st.text(DIGITS, min_size=11, max_size=18), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_completed_numbers_hold_luhn_and_a_changed_digit_breaks_it(numbers: list[str]) -> None:
    right = [with_check_digit(number) for number in numbers]
    wrong = [str((int(number[0]) + 1) % 10) + number[1:] for number in right]

    assert luhn_holds(right).all()
    assert not luhn_holds(wrong).any()


@given(
    st.lists(
        st.tuples(
            st.text(string.ascii_uppercase, min_size=2, max_size=2),
            st.text(DIGITS + string.ascii_uppercase, min_size=11, max_size=30),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=50, deadline=None)
def test_completed_ibans_hold_mod_97_and_swapped_check_digits_break_it(
    parts: list[tuple[str, str]],
) -> None:
    right = [with_check_digits(country, account) for country, account in parts]
    wrong = [f"{iban[:2]}{(int(iban[2:4]) + 1) % 100:02}{iban[4:]}" for iban in right]

    assert mod_97_holds(right).all()
    assert not mod_97_holds(wrong).any()


def matching(kind: str, values: list[str]) -> int:
    pattern = next(item for item in PATTERNS if item.kind == kind)
    return int(pl.select(pattern.matches(pl.lit(pl.Series(values)))).to_series().sum())


@given(st.lists(st.emails(domains=st.from_regex(r"[a-z]{2,9}\.[a-z]{2,3}", fullmatch=True))
                .filter(lambda mail: not set(mail) & set("!#$&'*/=?^`{|}~")),
                min_size=1, max_size=20))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_plain_mail_addresses_are_found(mails: list[str]) -> None:
    assert matching("e-mail addresses", mails) == len(mails)


@given(st.lists(st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None and int(ip) > 2**64)))
@settings(max_examples=50, deadline=None)
def test_ipv6_addresses_are_found(addresses: list[ipaddress.IPv6Address]) -> None:
    assert matching("IP addresses", [str(ip) for ip in addresses] or ["::1:1"]) >= len(addresses)


RANDOM: dict[str, tuple[str, int, Callable[[np.random.Generator], str]]] = {
    "ten digits": ("phone numbers", 10, lambda g: "".join(map(str, g.integers(0, 10, 10)))),
    "grouped": (
        "phone numbers",
        850,
        lambda g: f"{g.integers(100, 999)}-{g.integers(100, 999)}-{g.integers(1000, 9999)}",
    ),
    "sixteen digits": (
        "payment card numbers",
        40,
        lambda g: "".join(map(str, g.integers(0, 10, 16))),
    ),
    "ibans": (
        "IBANs",
        20,
        lambda g: f"DE{''.join(map(str, g.integers(0, 10, 20)))}",
    ),
}


@pytest.mark.parametrize(("kind", "most", "draw"), RANDOM.values(), ids=RANDOM)
def test_random_digits_rarely_match(
    kind: str, most: int, draw: Callable[[np.random.Generator], str]
) -> None:
    generator = np.random.default_rng(0)

    assert matching(kind, [draw(generator) for _ in range(1_000)]) <= most
