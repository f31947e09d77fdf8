"""The links about the search: the candidate that won, and the ledger of all trials."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl_assets.core.audit.evidence import Evidence, parse_json
from automl_assets.core.audit.registered import digest_of
from automl_assets.core.audit.result import Link, LinkBuilder
from automl_assets.core.search.replay import LEDGER_FILE
from automl_assets.core.search.standing import ledger_sha256


def candidate_link(evidence: Evidence) -> Link:
    """Compare the winner on the card with the trial in the ledger."""
    link, search = LinkBuilder("candidate"), evidence.told("search")
    if not isinstance(search, dict):
        link.fail("candidate", "card.json", outcome="missing", detail="No card names it.")
        return link.build()
    winner, board = search.get("winner"), search.get("leaderboard", [])
    link.fact("winner", f"trial {winner} of {len(board)}, seed {search.get('seed')}")
    link.fact("metric", search.get("metric"))
    trials = _trials(evidence)
    for member in search.get("members") or [{"number": winner}]:
        number = member.get("number")
        told = next((item for item in board if item.get("number") == number), None)
        if told is None or not trials:
            continue
        params = ", ".join(f"{key}={value}" for key, value in told.get("params", {}).items())
        weight = f", weight {member['weight']:.3g}" if "weight" in member else ""
        link.fact(f"trial {number}", f"{told.get('family')}{weight}: {params or 'its defaults'}")
        entry = trials.get(number)
        _compare_trial(link, f"trial {number}", entry, told)
    return link.build()


def _trials(evidence: Evidence) -> dict[Any, Mapping[str, Any]]:
    entries = _entries(_registered(evidence, LEDGER_FILE))
    return {entry.get("number"): entry for entry in entries or []}


def _compare_trial(
    link: LinkBuilder, name: str, entry: Mapping[str, Any] | None, told: Mapping[str, Any]
) -> None:
    if entry is None:
        link.record(name, LEDGER_FILE, expected="a trial of the search", found=None)
        return
    job = entry.get("job") or {}
    for key in ("family", "params", "seed"):
        link.record(f"{key} of {name}", LEDGER_FILE, expected=told.get(key), found=job.get(key))
    score = entry.get("result", {}).get("score")
    link.record(f"score of {name}", LEDGER_FILE, expected=told.get("score"), found=score)


def ledger_link(evidence: Evidence) -> Link:
    """Compute the digest of the ledger of all trials again."""
    link = LinkBuilder("ledger")
    expected = str(evidence.told("identity", "ledger_sha256") or evidence.tag("ledger_sha256"))
    link.fact("study", evidence.told("search", "study_name") or evidence.tag("study"))
    link.fact("ledger", f"sha256 {expected}")
    file = _registered(evidence, LEDGER_FILE)
    if file is None:
        link.note("The version was registered without its ledger.")
        return link.build()
    entries = _entries(file)
    # Those that wait for a trial were never given one.
    link.fact("trials", "" if entries is None else sum(bool(item.get("job")) for item in entries))
    link.digest("ledger of the trials", str(file), expected=expected, found=_digest(file, entries))
    return link.build()


def _digest(file: Path, entries: list[dict[str, Any]] | None) -> str | None:
    if entries is None:
        return f"no ledger, sha256 {digest_of(file)}" if file.is_file() else None
    return ledger_sha256(entries)


def _entries(file: Path | None) -> list[dict[str, Any]] | None:
    """Return the entries of a ledger; None where they cannot be read."""
    if file is None or not file.is_file():
        return None
    content = parse_json(file.read_bytes())
    is_ledger = isinstance(content, list) and all(
        isinstance(entry, dict) and "result" in entry for entry in content
    )
    return content if is_ledger else None


def _registered(evidence: Evidence, name: str) -> Path | None:
    """Return a file of the search, of the registered report or of the study; None without one."""
    study = Path(str(evidence.told("search", "study_name"))).name
    folders = (evidence.record.report, evidence.places.studies / study)
    files = (folder / name for folder in folders if folder is not None)
    return next((file for file in files if file.is_file()), None)
