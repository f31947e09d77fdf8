"""The page of a data profile is whole, safe to open, small, and the same each time."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from automl_assets.core.report.profile import ProfilePage, render_profile
from automl_assets.core.values import (
    PARTS,
    QUANTILES,
    ColumnProfile,
    DroppedColumn,
    Finding,
    PeriodCount,
    RowStep,
    Split,
    SplitPart,
    TableProfile,
)

EVIL = '<script>alert("x")</script>'
VOID = ("meta", "br", "path", "rect", "circle")
CLASSES: dict[str, tuple[str, ...]] = {
    "binary": ("no", EVIL),
    "multiclass": ("a", "b", EVIL),
    "regression": (),
}


class Structure(HTMLParser):
    """Collects elements, and checks that each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def column(name: str, **values: Any) -> ColumnProfile:
    content = {"dtype": "Float64", "kind": "numeric", "n_nulls": 3, "n_distinct": 77, **values}
    return ColumnProfile(name=name, **content)


def number(name: str) -> ColumnProfile:
    quantiles = tuple(100 * share for share in QUANTILES)
    return column(name, minimum="0", maximum="100", mean=50.0, std=9.0, quantiles=quantiles)


def page(
    task: str = "binary", columns: tuple[ColumnProfile, ...] = (), **values: Any
) -> ProfilePage:
    classes = CLASSES[task]
    text = column(EVIL, dtype="String", kind="categorical", top=((EVIL, 60), ("", 30)))
    columns = (number("x"), text, number("y"), *columns)
    counts = tuple(100 // len(classes) for _ in classes)
    profile = TableProfile(
        n_rows=100,
        columns=columns,
        task_type=task,  # type: ignore[arg-type]
        classes=classes,
        class_counts=counts,
        features=("x",),
        dropped=(DroppedColumn(name=EVIL, reason=f"names {EVIL}"),),
        warnings=(f"a warning about {EVIL}",),
        findings=(
            Finding(rule="copy of the target", column=EVIL, action="dropped", detail=EVIL),
            Finding(rule="order of time", action="warned", detail="rows are old"),
        ),
        target_over_time=tuple(
            PeriodCount(period=f"2026-0{n}", n_rows=9, class_counts=counts, mean=float(n))
            for n in (1, 2)
        ),
    )
    parts = tuple(
        SplitPart(part=name, n_rows=25, path="p", sha256="s", class_counts=counts, target_mean=4.5)
        for name in PARTS
    )
    split = Split(
        repository="r",
        commit_id="c",
        strategy="time",
        seed=0,
        parts=parts,
        preprocessing_version="v",
        matrix_id="m",
        feature_names=("x",),
    )
    content: dict[str, Any] = {
        "source": f"{EVIL}.csv",
        "n_rows": 100,
        "columns": columns,
        "n_duplicates": 12,
        "rows": (RowStep(step="read", n_rows=130), RowStep(step=EVIL, n_rows=100)),
        "profile": profile,
        "target": "y",
        "split": split,
    }
    return ProfilePage(**(content | values))


def bare(*columns: ColumnProfile, **values: Any) -> ProfilePage:
    return ProfilePage(**({"source": "data.csv", "n_rows": 100, "columns": columns} | values))


@pytest.mark.parametrize("task", list(CLASSES))
def test_names_and_values_from_data_are_never_markup(task: str) -> None:
    structure = Structure(render_profile(page(task)))

    assert structure.open == []
    assert not structure.attributes("script")
    assert EVIL in structure.text
    assert not any(name.startswith("on") for _, found in structure.elements for name in found)


@pytest.mark.parametrize("task", list(CLASSES))
def test_the_page_loads_nothing(task: str) -> None:
    content = render_profile(page(task))

    assert "default-src 'none'" in content
    assert not re.search(r"""(?:src|href)=["'](?!#)|url\(|@import""", content)


@pytest.mark.parametrize("task", list(CLASSES))
def test_the_page_can_be_heard(task: str) -> None:
    structure = Structure(render_profile(page(task)))

    assert structure.attributes("html") == [{"lang": "en"}]
    assert len(structure.attributes("h1")) == 1
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in structure.attributes("svg"))
    assert len(structure.attributes("table")) == len(structure.attributes("caption"))
    assert all("scope" in found for found in structure.attributes("th"))
    anchors = {found["href"] for found in structure.attributes("a")}
    assert anchors == {"#" + str(found["id"]) for found in structure.attributes("section")}


def test_equal_pages_have_equal_bytes() -> None:
    assert render_profile(page()) == render_profile(page())


def test_findings_and_what_follows_are_told() -> None:
    text = " ".join(" ".join(Structure(render_profile(page())).text).split())

    assert "rows are old" in text
    assert "1 of 3 columns were left out" in text
    assert "as found above" in text
    assert "130" in text
    assert "By part" in text
    assert "Over time" in text


def test_a_regression_is_told_by_its_mean() -> None:
    text = " ".join(" ".join(Structure(render_profile(page("regression"))).text).split())

    assert "Mean of the target" in text
    assert "Standard deviation" in text


def test_a_table_without_a_target_has_its_columns_only() -> None:
    structure = Structure(render_profile(bare(number("x"))))

    assert [found["id"] for found in structure.attributes("section")] == ["columns"]
    assert "not counted" in structure.text


def test_personal_data_is_not_shown() -> None:
    mail = column("mail", top=(("ada@example.org", 9),), minimum="ada", maximum="zoe")
    finding = Finding(rule="personal data", column="mail", action="warned", detail="It has mail.")
    shown = page(columns=(mail,))
    assert shown.profile is not None
    profile = shown.profile.model_copy(update={"findings": (finding,)})

    hidden = render_profile(page(columns=(mail,), profile=profile))

    assert "ada@example.org" in render_profile(shown)
    assert "ada@example.org" not in hidden
    assert "zoe" not in hidden


@pytest.mark.parametrize("n_columns", [1_000, 10_000])
def test_a_wide_table_is_cut_to_a_page_of_two_megabytes(n_columns: int) -> None:
    name = EVIL * 20
    top = tuple((f"{n}{name}", 9) for n in range(20))
    text = {"dtype": "String", "kind": "categorical", "top": top}
    some = tuple(
        column(f"{n}{name}", **text, minimum=name, maximum=name) if n % 2 else number(f"{n}{name}")
        for n in range(n_columns)
    )
    dropped = tuple(DroppedColumn(name=c.name, reason=name * 9) for c in some)
    wide = page(columns=some)
    assert wide.profile is not None
    findings = tuple(
        Finding(rule="copy of the target", column=c.name, action="warned", detail=name * 9)
        for c in some
    )
    profile = wide.profile.model_copy(
        update={"dropped": dropped, "findings": findings, "warnings": (name * 9,) * n_columns}
    )

    content = render_profile(page(columns=some, profile=profile))

    assert len(content.encode()) <= 2_000_000
    assert f"The first 1,000 of {n_columns + 3:,} columns" in content
    assert f"And {n_columns - 200:,} more findings" in content


@pytest.mark.parametrize(
    "quantiles", [(1.0,) * 7, (-1.7e308, -1.0, 0.0, 0.0, 1.0, 2.0, 1.7e308), (0.0,) * 6 + (5e-324,)]
)
def test_any_quantiles_can_be_drawn(quantiles: tuple[float, ...]) -> None:
    content = render_profile(bare(column("x", quantiles=quantiles)))

    drawn = re.findall(r'<svg class="box".*?</svg>', content)
    assert len(drawn) == 1
    assert "nan" not in drawn[0]
    assert "inf" not in drawn[0]


def test_a_table_without_rows_or_columns_has_a_page() -> None:
    assert Structure(render_profile(bare(n_rows=0))).open == []
    assert Structure(render_profile(bare(column("x", n_nulls=0), n_rows=0))).open == []


@pytest.mark.parametrize(("n_rows", "about"), [(262_144, "20,000"), (262_145, "~20,000")])
def test_what_is_approximate_says_so(n_rows: int, about: str) -> None:
    content = render_profile(bare(column("x", n_distinct=20_000), n_rows=n_rows))

    assert f">{about}<" in content
    assert ("row sample" in content) == about.startswith("~")
