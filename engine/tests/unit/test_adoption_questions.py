"""What adoption is not sure of is a question on the screen; what it cannot do is a clear no."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.adoption.answers import Answers, parse_answers
from goldpath.adoption.column_profile import AdoptionError
from goldpath.adoption.infer import Adoption
from goldpath.contract import Contract, load_contract
from goldpath.jobs.data.adoption import adopt_file
from goldpath.quality.file_rows import typed_frame
from goldpath.settings import load_settings
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.read import read_raw

ROWS = 400
Adopt = Callable[..., tuple[Adoption, Contract]]


@pytest.fixture
def adopt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adopt:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    settings = load_settings(tmp_path)

    def call(
        columns: dict[str, Any] | str,
        target: str = "goal",
        answers: Answers | None = None,
        **asked: str,
    ) -> tuple[Adoption, Contract]:
        file = tmp_path / "rows.csv"
        if isinstance(columns, str):
            file.write_text(columns, encoding="utf-8")
        else:
            pd.DataFrame(columns).to_csv(file, index=False)
        adoption = adopt_file(
            settings,
            file,
            target,
            asked.get("id"),
            asked.get("time"),
            asked.get("problem"),
            answers or Answers(),
        )
        return adoption, load_contract(tmp_path)

    return call


def table(**more: Any) -> dict[str, Any]:
    random = np.random.default_rng(5)
    return {
        "size": random.normal(50, 10, ROWS).round(2),
        "colour": random.choice(["red", "green", "blue"], ROWS),
        "goal": random.choice(["yes", "no"], ROWS),
    } | more


def notes(adoption: Adoption) -> str:
    return "\n".join(adoption.notes)


# ---- numbers, end to end


def test_a_later_file_is_read_as_the_adopted_one(adopt: Adopt, tmp_path: Path) -> None:
    rows = [f"{i % 900 + 100};{1 + i % 3}.{i % 900 + 100};{i % 7},5" for i in range(ROWS)]
    rows[::2] = [f"{i % 900 + 100};{i % 900 + 100};{i % 7},5" for i in range(0, ROWS, 2)]
    adoption, contract = adopt("a;people;rate\n" + "\n".join(rows), "rate", problem="regression")
    assert contract.source.thousands == {"people": "."}
    assert "people: " in notes(adoption)
    # The next file has too few rows to show how it is written.
    (tmp_path / "next.csv").write_text("a;people;rate\n101;1.531;2\n102;913;2\n")
    source = detect_dialect(tmp_path / "next.csv", contract.source)
    read = typed_frame(read_raw(source, tmp_path), contract)
    assert read["people"].to_pylist() == [1531, 913]


def test_money_is_a_target(adopt: Adopt) -> None:
    adoption, contract = adopt(
        table(price=[f"${i * 7 % 900 + 0.5:.2f}" for i in range(ROWS)]), "price"
    )
    assert contract.problem == "regression"
    assert contract.target.unit == "$"
    assert "'$'" in next(d.reason for d in adoption.decisions if d.column == "price")


def test_a_code_for_a_missing_value_is_asked_about(adopt: Adopt) -> None:
    size = table()["size"]
    size[::20] = -999
    adoption, contract = adopt(table(size=size))
    assert "does -999.0 in size (20 rows) stand for a missing value?" in notes(adoption)
    assert "nullable: true and missing_words: ['-999.0'] at size" in notes(adoption)
    raw = read_raw(contract.source, load_settings().root)
    told = {"nullable": True, "missing_words": ("-999.0",)}
    features = [
        feature.model_copy(update=told if feature.name == "size" else {})
        for feature in contract.features
    ]
    read = typed_frame(raw, contract.model_copy(update={"features": tuple(features)}))
    assert (read.num_rows, read["size"].null_count) == (ROWS, 20)
    assert "stand for a missing value?" not in notes(adopt(table())[0])


def test_the_columns_beyond_the_engines_are_checked_alike(
    adopt: Adopt, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(7)
    wide: dict[str, Any] = {f"x{place}": random.normal(size=ROWS).round(2) for place in range(5)}
    goal = table()["goal"]
    goal[0] = "odd"
    wide["few"] = [f"{place % 3}" for place in range(ROWS)]
    wide["bad"] = ["oops1x2" if place == 7 else f"${place}.5" for place in range(ROWS)]
    data = table(goal=goal, **wide, when=STAMPS.strftime("%Y-%m-%d"))
    by_engine = adopt(data)
    monkeypatch.setattr("goldpath.quality.wide_rows.ENGINE_FEATURES", 2)
    adoption, contract = adopt(data)
    assert (adoption.decisions, contract) == (by_engine[0].decisions, by_engine[1])
    assert sorted(adoption.notes) == sorted(by_engine[0].notes)
    assert set(wide) <= set(contract.feature_names)
    assert "silver will quarantine 2 of 400 rows" in notes(adoption)
    assert "goal: 'odd' is not one of its classes (1)" in notes(adoption)
    assert "bad: 'oops1x2' is not a finite number (1)" in notes(adoption)


@pytest.mark.parametrize(("unlabelled", "is_told"), [(80, False), (100, True)])
def test_a_file_of_which_too_much_is_refused_to_train_says_so(
    adopt: Adopt, unlabelled: int, is_told: bool
) -> None:
    goal = table()["goal"]
    goal[:unlabelled] = [""] * unlabelled

    adoption, _ = adopt(table(goal=goal))

    assert f"silver will quarantine {unlabelled} of 400 rows" in notes(adoption)
    assert ("that is 25%: training stops where more than 20%" in notes(adoption)) is is_told


# ---- identifiers


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("host_id", [f"{i % 130 * 7919}" for i in range(ROWS)], "an identifier by its name"),
        ("patientId", [f"p{i % 130}" for i in range(ROWS)], "an identifier by its name"),
        ("tweet", [f"{6 * 10**18 + i * 7919 % 3001}" for i in range(ROWS)], "more than a float64"),
        ("phone", [f"{6 * 10**9 + i * 7919 % 30011}" for i in range(ROWS)], "identif"),
    ],
)
def test_identifiers_are_left_out_and_said(
    adopt: Adopt, name: str, values: list[str], said: str
) -> None:
    contract = adopt(table(**{name: values}), id="none")[1]
    assert name not in contract.feature_names
    assert said in contract.ignored[name]
    kept = adopt(table(**{name: values}), answers=parse_answers([f"{name}=category"]), id="none")[1]
    assert name in kept.feature_names


@pytest.mark.parametrize(
    ("count", "names_id", "default"),
    [(130, True, "It is left out"), (40, True, "It is a feature"), (8, False, "It is a feature")],
)
def test_a_repeated_identifier_is_asked_about(
    adopt: Adopt, count: int, names_id: bool, default: str
) -> None:
    data = table(patient_id=[f"{place * 7 % count}" for place in range(ROWS)])
    adoption, _ = adopt(data)
    (question,) = [note for note in adoption.notes if "patient_id" in note]
    assert question.startswith("question:")
    assert default in question
    assert "--as 'patient_id=category'" in question
    assert ("ID=patient_id" in question) == names_id
    answered, contract = adopt(data, answers=parse_answers(["patient_id=category"]))
    assert contract.by_name["patient_id"].type == "category"
    assert "question: patient_id" not in notes(answered)
    if names_id:
        answered, contract = adopt(data, id="patient_id")
        assert contract.entity_repeats
        assert "question: patient_id" not in notes(answered)


@pytest.mark.parametrize("name", ["run_id", "Run_ID"])
def test_an_id_named_as_a_column_of_the_predictions_is_refused_and_never_found(
    adopt: Adopt, name: str
) -> None:
    runs = table(**{name: [f"r{number}" for number in range(ROWS)]})
    assert adopt(runs)[1].entity is None
    with pytest.raises(AdoptionError, match=f"ID={name}: this project uses the name itself"):
        adopt(runs, id=name)


def test_an_index_without_a_name_is_no_feature_in_whatever_order(adopt: Adopt) -> None:
    index = np.random.default_rng(1).permutation(ROWS)
    text = pd.DataFrame(table(), index=index).to_csv()
    assert adopt(text)[1].entity == "column_1"
    holes = np.random.default_rng(1).choice(5 * ROWS, ROWS, replace=False)
    assert "column_1" not in adopt(pd.DataFrame(table(), index=holes).to_csv())[1].feature_names


# ---- times


def times(values: Any) -> dict[str, Any]:
    return table(when=list(values))


STAMPS = pd.date_range("2023-01-01", periods=ROWS, freq="6h")


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        ("%Y-%m", "%Y-%m"),
        ("%b %Y", "%b %Y"),
        ("%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M %p"),
        ("%Y%m%d", "%Y%m%d"),
        ("%d-%b-%y", "%d-%b-%y"),
        ("%d %B %Y", "%d %B %Y"),
    ],
)
def test_times_are_found_as_they_are_written(adopt: Adopt, format_: str, expected: str) -> None:
    contract = adopt(times(STAMPS.strftime(format_)))[1]
    assert contract.event_time is not None
    assert contract.event_time.format in (expected, expected.replace("%B", "%b"))
    assert "when" not in contract.feature_names


def test_seconds_since_1970_are_a_time_where_the_name_says_so(adopt: Adopt) -> None:
    seconds = STAMPS.astype("int64") // 10 ** (9 if STAMPS.unit == "ns" else 6)
    contract = adopt(table(created_at=seconds))[1]
    assert contract.event_time is not None
    assert contract.event_time.format == "%s"
    asked = adopt(table(x=seconds), time="x")[1]
    assert asked.event_time is not None


@pytest.mark.parametrize(("name", "asked"), [("Sale Date", True), ("weight", False)])
def test_days_as_spreadsheets_count_them_are_asked_about(
    adopt: Adopt, name: str, asked: bool
) -> None:
    days = (45_322 + np.arange(ROWS) / 3).round(5)
    adoption, contract = adopt(table(**{name: days}))
    said = [note for note in adoption.notes if "as spreadsheets count days (2024-01-31)" in note]
    assert contract.event_time is None
    assert len(said) == asked
    assert all("write them as dates and say TIME=Sale Date" in note for note in said)
    assert not any("spreadsheets" in n for n in adopt(table(**{name: days}), time="none")[0].notes)


def test_two_formats_in_one_column_are_both_read(adopt: Adopt, tmp_path: Path) -> None:
    mixed = [
        stamp.strftime("%Y-%m-%d" if place % 3 else "%d/%m/%Y")
        for place, stamp in enumerate(STAMPS)
    ]
    contract = adopt(times(mixed))[1]
    assert contract.event_time is not None
    assert contract.event_time.format is None
    assert contract.event_time.more_formats == ("%d/%m/%Y",)
    read = typed_frame(read_raw(contract.source, tmp_path), contract)
    assert [time.date() for time in read["event_time"].to_pylist()] == [s.date() for s in STAMPS]


# ---- open and closed


def test_what_grows_by_nature_is_open_and_a_list_is_closed(adopt: Adopt) -> None:
    contract = adopt(
        table(
            quarter=[f"{2021 + i % 3}-Q{1 + i % 4}" for i in range(ROWS)],
            year=[2019 + i % 5 for i in range(ROWS)],
            visits=[i * 31 % 997 for i in range(ROWS)],
            age=[20 + i % 45 for i in range(ROWS)],
        ),
        time="none",
    )[1]
    assert contract.by_name["quarter"].categories is None
    assert contract.by_name["colour"].closed is True
    assert contract.by_name["year"].maximum == 2100
    assert contract.by_name["visits"].maximum == pytest.approx(9960, rel=0.02)
    assert contract.by_name["age"].maximum == pytest.approx(108, abs=2)


# ---- labels


def test_none_is_a_class_where_labels_are_words(adopt: Adopt) -> None:
    goal = ["None", "Apnea", "None", "Insomnia"] * (ROWS // 4)
    adoption, contract = adopt(table(goal=goal))
    assert contract.target.classes == ("Apnea", "Insomnia", "None")
    assert "--missing 'None'" in notes(adoption)
    without = adopt(table(goal=goal), answers=parse_answers(missing=["None"]))[1]
    assert without.target.classes[-1] != "None"
    assert len(without.target.classes) == 2


def test_na_is_missing_unless_it_is_said_to_be_a_class(adopt: Adopt) -> None:
    goal = ["NA", "EU", "AS", "EU"] * (ROWS // 4)
    adoption, contract = adopt(table(goal=goal))
    assert "NA" not in contract.target.classes
    assert "--label 'NA'" in notes(adoption)
    named = adopt(table(goal=goal), answers=parse_answers(labels=["NA"]))[1]
    assert named.target.classes == ("AS", "EU", "NA")


def test_spellings_of_a_label_are_asked_about_and_joined_on_demand(
    adopt: Adopt, tmp_path: Path
) -> None:
    goal = ["No", "no", "NO ", "Yes", "yes", "no."] * (ROWS // 6 + 1)
    adoption, contract = adopt(table(goal=goal[:ROWS]))
    assert len(contract.target.classes) > 2
    assert "--join-labels" in notes(adoption)
    joined = adopt(table(goal=goal[:ROWS]), answers=parse_answers(join_labels=True))[1]
    assert {label.lower().rstrip(".") for label in joined.target.classes} == {"no", "yes"}
    rows = typed_frame(read_raw(joined.source, tmp_path), joined)
    assert rows.num_rows == ROWS
    assert set(rows["goal"].to_pylist()) == set(joined.target.classes)


def test_signs_are_missing_labels_and_words_are_labels_until_it_is_said(adopt: Adopt) -> None:
    for word in ("#N/A", r"\N", "-", "<NA>"):
        goal = ["YES", "NO", "YES", "NO", "NO", "YES", "YES", word] * (ROWS // 8)
        adoption, contract = adopt(table(goal=goal))
        assert sorted(contract.target.classes) == ["NO", "YES"]
        assert f"--label {word!r}" in notes(adoption)
        assert "50 (12.5 %) rows have no goal" in notes(adoption)
        kept = adopt(table(goal=goal), answers=parse_answers(labels=[word]))[1]
        assert word in kept.target.classes
    goal = ["YES", "NO", "unknown", "NO"] * (ROWS // 4)
    adoption, contract = adopt(table(goal=goal))
    assert len(contract.target.classes) == 3
    assert "--missing 'unknown'" in notes(adoption)
    without = adopt(table(goal=goal), answers=parse_answers(missing=["unknown"]))[1]
    assert sorted(without.target.classes) == ["NO", "YES"]
    numbers = [{"YES": "1", "NO": "0"}.get(label, label) for label in goal]
    assert adopt(table(goal=numbers))[1].target.classes == ("0", "1")


def test_signs_that_are_all_labels_stay_labels(adopt: Adopt) -> None:
    assert set(adopt(table(goal=["+", "-"] * (ROWS // 2)))[1].target.classes) == {"+", "-"}
    words = adopt(table(goal=["missing", "unknown"] * (ROWS // 2)))[1]
    assert set(words.target.classes) == {"missing", "unknown"}
    stars = adopt(table(goal=["*", "**", "***", "*"] * (ROWS // 4)))[1]
    assert len(stars.target.classes) == 3


@pytest.mark.parametrize(
    "goal", [["-1", "1"], ["B", "B-"], ["A+", "A"], ["level -1", "level 1"], ["1", "1.0"]]
)
def test_a_mark_that_is_the_meaning_makes_no_spelling(adopt: Adopt, goal: list[str]) -> None:
    adoption, contract = adopt(table(goal=goal * (ROWS // 2)))
    assert len(contract.target.classes) == 2
    assert "spellings" not in notes(adoption)


# ---- the form of the file


def test_the_line_that_names_the_separator_is_read(adopt: Adopt) -> None:
    text = pd.DataFrame(table()).to_csv(index=False, sep=";")
    adoption, contract = adopt(f"sep=;\n{text}")
    assert (contract.source.delimiter, contract.source.skip_lines) == (";", 1)
    assert "skipped" in notes(adoption)


@pytest.mark.parametrize(
    "preamble",
    ["Sales report\n", "Sales, 2024\nmade by us\n\n", '"A title, quoted"\nfrom;to\n'],
)
def test_lines_above_the_header_are_skipped(adopt: Adopt, tmp_path: Path, preamble: str) -> None:
    adoption, contract = adopt(preamble + pd.DataFrame(table()).to_csv(index=False))
    assert contract.source.skip_lines == preamble.count("\n")
    assert read_raw(contract.source, tmp_path).column_names == ["size", "colour", "goal"]
    assert read_raw(contract.source, tmp_path).num_rows == ROWS
    assert "skipped" in notes(adoption)


def test_a_file_without_a_header_is_noticed(adopt: Adopt) -> None:
    text = pd.DataFrame(table()).to_csv(index=False, header=False)
    with pytest.raises(AdoptionError, match="looks like a row of data") as caught:
        adopt(text)
    assert "add a line" in caught.value.fix
    target = text.splitlines()[0].split(",")[2]
    assert "looks like a row of data" in notes(adopt(text, target)[0])
    assert "looks like" not in notes(adopt(table())[0])


def test_names_that_are_changed_are_said(adopt: Adopt) -> None:
    text = pd.DataFrame(table()).to_csv(index=True)
    assert text.startswith(",size")
    said = notes(adopt(text)[0])
    assert "the header has 1 empty name: column_1 stands for it in the contract" in said
    broken = pd.DataFrame(table()).rename(columns={"size": "body\nsize"}).to_csv(index=False)
    adoption, contract = adopt(broken)
    assert "'body\\nsize' is 'body size'" in notes(adoption)
    assert "body size" in contract.by_name
    padded = pd.DataFrame(table()).rename(columns={"size": " size "}).to_csv(index=False)
    assert "header" not in notes(adopt(padded)[0])


# ---- what is not supported


def test_free_text_is_a_feature_unless_it_is_said_to_be_something_else(adopt: Adopt) -> None:
    words = np.random.default_rng(2).choice(["broken", "love", "slow", "late"], (ROWS, 9))
    data = table(comment=[" ".join(row) for row in words])
    adoption, contract = adopt(data)
    assert contract.by_name["comment"].type == "text"
    assert "comment is read as free text" in notes(adoption)
    assert "--as 'comment=ignored'" in notes(adoption)
    asked = parse_answers(["comment=ignored"])
    assert adopt(data, answers=asked)[1].ignored == {"comment": "left out, as asked"}
    adoption, contract = adopt(data, answers=parse_answers(["comment=category"]))
    assert contract.by_name["comment"].type == "category"
    assert "free text" not in notes(adoption)


def test_texts_that_are_longer_than_categories_are_not_offered_as_such(adopt: Adopt) -> None:
    words = np.random.default_rng(2).choice(["broken", "love", "slow", "late"], (ROWS, 9))
    short = [" ".join(row) for row in words]
    data = table(comment=[*short[1:], "slow " * 50 + "end"], reply=short)
    said = notes(adopt(data)[0])
    assert "comment, reply are read as free text" in said
    assert "cannot be compiled, so the slower pipeline scores rows" in said
    assert "--as 'reply=category'" in said
    assert "reply=category" not in notes(adopt(table(comment=data["comment"]))[0])
    with pytest.raises(AdoptionError, match="the longest value has 253") as caught:
        adopt(data, answers=parse_answers(["comment=category"]))
    assert "--as 'comment=text'" in caught.value.fix


def test_a_file_of_texts_alone_is_adopted(adopt: Adopt) -> None:
    words = np.random.default_rng(2).choice(["broken", "love", "slow", "late"], (ROWS, 9))
    data = {"comment": [" ".join(row) for row in words], "goal": table()["goal"]}
    assert adopt(data)[1].text_features == ["comment"]


def test_several_labels_in_one_text_are_refused(adopt: Adopt) -> None:
    goal = ["music", "music;news", "news", "sport;news"] * (ROWS // 4)
    with pytest.raises(AdoptionError, match="multi-label") as caught:
        adopt(table(goal=goal))
    assert "classification" in caught.value.message
    assert "yes and no for each of music, news, sport" in caught.value.fix
    assert adopt(table(goal=goal), problem="classification")[1].target.classes


@pytest.mark.parametrize(
    "goal",
    [
        ["a", "b", "c", "a/b", "b/c"],
        ["a", "b + c", "b", "a + b"],
        ["a & b", "b & c", "b", "c"],
        ["['a', 'b']", "['a']", "['b', 'c']", "['a', 'c']"],
    ],
)
def test_several_labels_are_seen_however_they_are_joined(adopt: Adopt, goal: list[str]) -> None:
    with pytest.raises(AdoptionError, match="multi-label") as caught:
        adopt(table(goal=(goal * ROWS)[:ROWS]))
    assert "each of a, b, c" in caught.value.fix


@pytest.mark.parametrize(
    "goal", [["A+", "A", "B+", "B"], ["(0, 10]", "(10, 20]", "(20, 30]"], ["R&D", "sales", "HR"]]
)
def test_marks_in_a_label_do_not_make_it_several(adopt: Adopt, goal: list[str]) -> None:
    contract = adopt(table(goal=(goal * ROWS)[:ROWS]))[1]
    assert set(contract.target.classes) == set(goal)


def test_a_label_with_a_comma_is_one_label(adopt: Adopt) -> None:
    goal = ["Engineer, senior", "Engineer, junior"] * (ROWS // 2)
    assert len(adopt(table(goal=goal))[1].target.classes) == 2


def test_ranking_is_refused_unless_a_problem_is_named(adopt: Adopt) -> None:
    data = table(query_id=[i // 8 for i in range(ROWS)], relevance=[i * 7 % 5 for i in range(ROWS)])
    with pytest.raises(AdoptionError, match="ranking is not supported") as caught:
        adopt(data, "relevance")
    assert "PROBLEM=regression" in caught.value.fix
    assert adopt(data, "relevance", problem="regression")[1].problem == "regression"


def test_what_is_not_supported_is_refused_with_what_is(adopt: Adopt) -> None:
    with pytest.raises(AdoptionError, match=r"multi-label.*not supported") as caught:
        adopt(table(), problem="multi-label")
    assert "PROBLEM=regression" in caught.value.fix
    with pytest.raises(AdoptionError, match="nothing to learn") as caught:
        adopt(table(), "")
    assert "PROBLEM=clustering" in caught.value.fix


def test_an_answer_that_fits_nothing_is_refused(adopt: Adopt) -> None:
    with pytest.raises(AdoptionError, match="expected COLUMN=MEANING"):
        parse_answers(["size"])
    with pytest.raises(AdoptionError, match="no such column"):
        adopt(table(), answers=parse_answers(["sizes=category"]))
    with pytest.raises(AdoptionError, match="does not hold"):
        adopt(table(), answers=parse_answers(labels=["NA"]))
