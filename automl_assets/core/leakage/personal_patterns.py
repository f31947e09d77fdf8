"""What personal data look like: patterns of text, and the check digits that prove them.

No pattern looks at the meaning of a value, so each is as strict as its standard allows; what
is left to chance is weighed by `Pattern.share`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One kind of personal data.

    Attributes:
        kind: As it is told, in the plural.
        regex: What a value must look like, for polars' regex engine.
        share: Share of the values that must match before a column is suspected; low where a
            match by chance is nearly impossible, so that mixed columns are found.
        named: Words of which the column's name must hold one, where the values alone could
            be any numbers; empty if the values are enough.
        proof: Checks the digits of values that match, and returns which are right.
    """

    kind: str
    regex: str
    share: float
    named: tuple[str, ...] = ()
    proof: Callable[[list[str]], np.ndarray] | None = None

    def fits(self, column: str) -> bool:
        """Return whether a column of this name may hold such data."""
        words = column.lower()
        return not self.named or any(word in words for word in self.named)

    def matches(self, text: pl.Expr) -> pl.Expr:
        """Return whether each text is such data; null where it is missing."""
        found = text.str.contains(self.regex)
        if self.proof is None:
            return found
        proof = self.proof

        def proved(batch: pl.Series) -> pl.Series:
            right = batch.is_not_null().to_numpy().copy()
            if right.any():
                right[right] = proof(batch.drop_nulls().to_list())
            return pl.Series(batch.name, right)

        candidates = pl.when(found).then(text)
        return candidates.map_batches(proved, return_dtype=pl.Boolean, is_elementwise=True)


def luhn_holds(texts: list[str]) -> np.ndarray:
    """Return whether the last digit of each number is its check digit (ISO/IEC 7812-1).

    Examples:
        >>> luhn_holds(["4111 1111 1111 1111", "4111111111111112"]).tolist()
        [True, False]
    """
    digits, known = _characters(texts, " -")
    digits = digits[:, ::-1]
    known = known[:, ::-1]
    # Counted from the right: texts are aligned there.
    doubled = digits.copy()
    doubled[:, 1::2] = doubled[:, 1::2] * 2
    doubled -= 9 * (doubled > 9)
    return (doubled * known).sum(axis=1) % 10 == 0


def mod_97_holds(texts: list[str]) -> np.ndarray:
    """Return whether the two check digits of each IBAN are right (ISO 13616, mod 97-10).

    Examples:
        >>> mod_97_holds(["DE89 3704 0044 0532 0130 00", "DE88370400440532013000"]).tolist()
        [True, False]
    """
    moved = [(text := raw.replace(" ", ""))[4:] + text[:4] for raw in texts]
    values, known = _characters(moved, "")
    rest = np.zeros(len(texts), np.int64)
    for place in range(values.shape[1]):
        value = values[:, place]
        shifted = (rest * np.where(value > 9, 100, 10) + value) % 97
        rest = np.where(known[:, place], shifted, rest)
    return rest == 1


def _characters(texts: list[str], separators: str) -> tuple[np.ndarray, np.ndarray]:
    """Return digits as 0-9 and letters as 10-35, aligned right, and which places are filled."""
    drop = str.maketrans("", "", separators)
    plain = [text.translate(drop).upper() for text in texts]
    width = max(map(len, plain))
    joined = "".join(text.rjust(width) for text in plain)
    codes = np.frombuffer(joined.encode("ascii"), np.uint8).reshape(len(texts), -1)
    known = codes != ord(" ")
    values = np.where(codes >= ord("A"), codes.astype(np.int64) - 55, codes.astype(np.int64) - 48)
    return np.where(known, values, 0), known


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
_BIG_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2})"
_IP4 = "|".join(
    r"\.".join([_OCTET] * place + [_BIG_OCTET] + [_OCTET] * (3 - place)) for place in range(4)
)
_GROUP = r"[0-9a-fA-F]{1,4}"
_IP6 = (
    rf"(?:{_GROUP}:){{7}}{_GROUP}|(?:{_GROUP}:){{1,6}}(?::{_GROUP}){{1,6}}"
    rf"|(?:{_GROUP}:){{1,7}}:|::(?:{_GROUP}:){{1,6}}{_GROUP}"
)
_GAP = r"[ .\-]?"

PATTERNS = (
    # RFC 5322 without quoted names; found inside of longer text as well.
    Pattern(
        kind="e-mail addresses",
        regex=r"(?:^|[\s<(\[\"',;:])[A-Za-z0-9_%+\-][A-Za-z0-9._%+\-]{0,63}"
        r"@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?:$|[\s>)\]\"',;:.!?])",
        share=0.02,
    ),
    # ISO 13616: country, two check digits, 11 to 30 letters and digits, in fours if spaced.
    # One of 97 random ones passes.
    Pattern(
        kind="IBANs",
        regex=r"^\s*[A-Z]{2}[0-9]{2}"
        r"(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,4})?)\s*$",
        share=0.05,
        proof=lambda texts: mod_97_holds([text.strip() for text in texts]),
    ),
    # Issuers' prefixes and lengths (ISO/IEC 7812: Visa, Mastercard, Amex, Discover, Diners, JCB,
    # Maestro left out: it has nearly all). One of 10 random numbers with such a prefix passes.
    Pattern(
        kind="payment card numbers",
        regex=r"^\s*(?:4[0-9]{3}[ \-]?[0-9]{4}[ \-]?[0-9]{4}[ \-]?[0-9]{4}"
        r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720|6011|65[0-9]{2}"
        r"|64[4-9][0-9]|35(?:2[89]|[3-8][0-9]))[ \-]?[0-9]{4}[ \-]?[0-9]{4}[ \-]?[0-9]{4}"
        r"|3[47][0-9]{2}[ \-]?[0-9]{6}[ \-]?[0-9]{5}"
        r"|3(?:0[0-5]|[68][0-9])[0-9][ \-]?[0-9]{6}[ \-]?[0-9]{4})\s*$",
        share=0.4,
        proof=lambda texts: luhn_holds([text.strip() for text in texts]),
    ),
    # A first digit of three in at least one place, or versions such as 2.10.3.1 would match.
    Pattern(kind="IP addresses", regex=rf"^\s*(?:{_IP4}|{_IP6})(?:/[0-9]{{1,3}})?\s*$", share=0.5),
    # E.164 with its plus sign; or a national number as people write it: North American with
    # area and exchange from 2 to 9, or a trunk zero and a space, slash or brackets. Of random
    # numbers that are grouped like it, up to 0.82 pass.
    Pattern(
        kind="phone numbers",
        regex=rf"^\s*(?:(?:\+|00)[1-9](?:{_GAP}\(?[0-9]\)?){{7,14}}"
        r"|(?:1[ .\-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .\-])[2-9][0-9]{2}[ .\-][0-9]{4}"
        r"|0[1-9](?:[ .][0-9]{2}){4}"
        r"|\(?0[1-9][0-9]{0,4}\)?[ /][ /\-]*[0-9](?:[ \-/]?[0-9]){4,9})\s*$",
        share=0.9,
    ),
    # Digits alone may count anything: here the column's name must say what they are.
    Pattern(
        kind="phone numbers",
        regex=r"^\s*[(+]?[0-9](?:[ ./()\-]{0,3}[0-9]){6,14}\s*$",
        share=0.8,
        named=("phone", "mobile", "telefon", "telephone", "handy", "cellular", "fax", "msisdn"),
    ),
)
"""The first pattern that a column matches names it."""
