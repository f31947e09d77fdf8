"""The links that the model registry holds: the version, its model, its report, its probe."""

from collections.abc import Mapping
from pathlib import Path

from automl_assets.core.audit.evidence import CARD, Evidence, parse_json, sha256
from automl_assets.core.audit.result import Link, LinkBuilder
from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import sha256_file
from automl_assets.core.inventory import INVENTORY, folder_digests, read_inventory
from automl_assets.core.package import MANIFEST
from automl_assets.core.registration import registered_params
from automl_assets.core.reproduction.records import recorded_candidates

REPORT_TAG, MODEL_TAG = "automl.report_sha256", "automl.model_files_sha256"
"""Tags with the digests of the inventories of the report's and the model's files."""

LINEAGE: Mapping[str, tuple[str, ...]] = {
    "automl.owner": ("identity", "owner"),
    "automl.request_id": ("identity", "request_id"),
    "automl.request_sha256": ("identity", "request_sha256"),
    "automl.data_uri": ("identity", "data_uri"),
    "automl.data_sha256": ("identity", "data_sha256"),
    "automl.artifact_sha256": ("identity", "model_sha256"),
    "ledger_sha256": ("identity", "ledger_sha256"),
    "preprocessing_version": ("identity", "preprocessing_version"),
    "candidate": ("search", "winner"),
    "study": ("search", "study_name"),
    "split_commit": ("split", "commit_id"),
}
"""Tags of a version, and where the card says the same."""

KEPT_TAGS = ("approval", "automl.card_sha256", "automl.facts_sha256", "probe_sha256", "verdict")
"""More tags of a version that its training run has, too, where there are such."""

_DESCRIPTION_LENGTH = 5_000


def version_link(evidence: Evidence) -> Link:
    """Compare the tags of the version with the card, and with those of its training run."""
    link, version = LinkBuilder("version"), evidence.version
    link.fact("model", " ".join(filter(None, [version.name, evidence.tag("semver")])))
    link.fact("registry version", version.version)
    link.fact("aliases", ", ".join(version.aliases))
    link.fact("training run", version.mlflow_run_id)
    where = f"tag of {version.name} {version.version} in the registry"
    for tag, path in LINEAGE.items():
        told = evidence.told(*path)
        if told is not None:
            link.record(f"tag {tag}", where, expected=told, found=version.tags.get(tag))
    facts, expected = evidence.record.facts, evidence.tag("automl.facts_sha256")
    if expected:
        link.digest(
            "facts of the semantic version",
            f"{evidence.record.where}/version.json",
            expected=expected,
            found=None if facts is None else sha256(facts),
        )
    _compare_run_tags(link, evidence)
    return link.build()


def _compare_run_tags(link: LinkBuilder, evidence: Evidence) -> None:
    """Compare the tags that the training run and the version were given with the same value.

    Tags that people added later to one of the two say nothing of how the version was made.
    """
    run_tags, tags = evidence.record.tags, evidence.version.tags
    given = {tag for tag in (*tags, *run_tags) if tag in LINEAGE or tag.startswith("env.")}
    given |= {tag for tag in (*KEPT_TAGS, REPORT_TAG) if tag in tags or tag in run_tags}
    where = f"tag of the training run {evidence.version.mlflow_run_id}"
    for tag in sorted(given | (tags.keys() & run_tags.keys())):
        link.record(f"run tag {tag}", where, expected=tags.get(tag, ""), found=run_tags.get(tag))


def report_link(evidence: Evidence) -> Link:
    """Hash the report's files again: the card against its tag, all files against the inventory."""
    link, report = LinkBuilder("report"), evidence.record.report
    expected = evidence.version.card_sha256
    link.fact("card", f"sha256 {expected}")
    where = str(report or evidence.record.where + "/report")
    if report is None:
        link.digest("report", where, expected=expected, found=None)
        return link.build()
    file = report / CARD
    link.digest(CARD, str(file), expected=expected, found=digest_of(file))
    check_folder(link, report, evidence.tag(REPORT_TAG), skip={CARD}, tag=REPORT_TAG)
    _compare_metrics(link, evidence)
    _compare_params(link, evidence)
    _compare_description(link, evidence, report)
    return link.build()


def _compare_metrics(link: LinkBuilder, evidence: Evidence) -> None:
    where = f"metrics of the training run {evidence.version.mlflow_run_id}"
    for item in evidence.told("evaluation", "metrics") or []:
        if item.get("value") is not None:
            name = item["metric"]
            found = evidence.record.metrics.get(name)
            link.record(f"metric {name}", where, expected=item["value"], found=found)


def _compare_params(link: LinkBuilder, evidence: Evidence) -> None:
    """The registry shows people how the model was made."""
    try:
        told = registered_params(recorded_candidates(evidence.told("search")))
    except (KeyError, TypeError, ValueError):
        return  # The card is not what was registered; its digest says so.
    where = f"params of the training run {evidence.version.mlflow_run_id}"
    for name, value in told.items():
        found = evidence.record.params.get(name)
        link.record(f"param {name}", where, expected=value, found=found)


def _compare_description(link: LinkBuilder, evidence: Evidence, report: Path) -> None:
    """The registry shows the beginning of card.md to people."""
    file = report / "card.md"
    if file.is_file():
        text = file.read_text("utf-8", errors="replace")[:_DESCRIPTION_LENGTH]
        link.record(
            "description",
            f"description of {evidence.version.name} {evidence.version.version} in the registry",
            expected=f"sha256 {sha256(text.encode())}",
            found=f"sha256 {sha256(evidence.record.description.encode())}",
        )


def model_link(evidence: Evidence) -> Link:
    """Hash the model package again, and what is served around it."""
    link, package = LinkBuilder("model"), evidence.record.package
    expected = evidence.version.artifact_sha256
    link.fact("package", f"sha256 {expected}")
    if package is None:
        where = f"{evidence.record.where}/model"
        link.digest("model package", where, expected=expected, found=None)
        return link.build()
    manifest = package / MANIFEST
    link.digest(MANIFEST, str(manifest), expected=expected, found=digest_of(manifest))
    content = parse_json(manifest.read_bytes()) if manifest.is_file() else None
    files = content.get("files") if isinstance(content, dict) else None
    if isinstance(files, dict):
        compare_files(link, package, files, skip={MANIFEST})
        link.fact("files", len(files))
    model = evidence.record.model
    if model is not None:
        inside = {path.relative_to(model).as_posix() for path in package.rglob("*")}
        skip = inside | _mark_of_mlflow(model, evidence)
        check_folder(link, model, evidence.tag(MODEL_TAG), skip=skip, tag=MODEL_TAG)
    return link.build()


def _mark_of_mlflow(model: Path, evidence: Evidence) -> set[str]:
    """Return the file that MLflow adds to a version that is loaded where it is, if it is as such.

    It names the version, and nothing else.
    """
    file, version = model / "registered_model_meta", evidence.version
    text = f"model_name: {version.name}\nmodel_version: '{version.version}'\n"
    is_mark = file.is_file() and not file.is_symlink() and file.read_bytes() == text.encode()
    return {file.name} if is_mark else set()


def check_folder(
    link: LinkBuilder, folder: Path, expected: str, *, skip: set[str], tag: str
) -> None:
    """Check a folder against its inventory, and the inventory against the tag that names it."""
    if not expected:
        link.note(f"No digest of the other files in {folder} was recorded (tag {tag}).")
        return
    file = folder / INVENTORY
    if link.digest(INVENTORY, str(file), expected=expected, found=digest_of(file)):
        try:
            files = read_inventory(file.read_bytes())
        except SnapshotError as error:
            link.fail(INVENTORY, str(file), outcome="altered", detail=str(error))
        else:
            compare_files(link, folder, files, skip={*skip, INVENTORY})


def compare_files(
    link: LinkBuilder, folder: Path, expected: Mapping[str, str], *, skip: set[str]
) -> None:
    """Compare the files of a folder with the digests that were recorded; none may be added."""
    found = folder_digests(folder)
    for name in sorted({*expected, *found} - skip):
        link.digest(
            name,
            str(folder / name),
            expected=expected.get(name, ""),
            found=found.get(name),
            detail="" if name in expected else "It was added later.",
        )


def digest_of(file: Path) -> str | None:
    """Return the SHA-256 of a file as it is now; None where there is none."""
    return sha256_file(file) if file.is_file() else None


def probe_link(evidence: Evidence) -> Link:
    """Hash the predictions of the probe set again."""
    import numpy as np

    from automl_assets.core.probe import PROBE, PROBE_PREDICTIONS, predictions_sha256

    link, report = LinkBuilder("probe"), evidence.record.report
    tagged = evidence.tag("probe_sha256")
    file = None if report is None else report / PROBE
    if file is None or not file.is_file():
        if tagged:
            where = str(file or evidence.record.where)
            link.digest("predictions of the probe", where, expected=tagged, found=None)
        else:
            link.note("The version was registered without a probe.")
        return link.build()
    probe = parse_json(file.read_bytes())
    told = str(probe.get("predictions_sha256", "")) if isinstance(probe, dict) else ""
    predictions = file.with_name(PROBE_PREDICTIONS)
    found: str | None = None
    if predictions.is_file():
        try:
            found = predictions_sha256(np.load(predictions, allow_pickle=False))
        except ValueError:
            found = f"no numbers, sha256 {sha256_file(predictions)}"
    link.digest("predictions of the probe", str(predictions), expected=told, found=found)
    if tagged:
        link.record("probe", str(file), expected=tagged, found=told)
    link.fact("predictions", f"sha256 {told}")
    link.fact("rows", len(probe.get("rows", ())) if isinstance(probe, dict) else "")
    return link.build()
