"""What the report says of clips whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation import painted
from training.evaluation.confidence import Mean, Proportion
from training.evaluation.evaluation_plan import SECTIONS, PlanSize, SamplingOptions
from training.evaluation.judged_clips import Findings, JudgedClips
from training.evaluation.pairs import bound_status, clustering_p_value, evaluate_pairs
from training.evaluation.report import (
    BEGIN,
    END,
    evaluate_all,
    format_card,
    format_text,
    write_card,
    write_json,
)

EVERYTHING = ",".join(SECTIONS)


def report(
    folder: Path, wrong: dict[str, float], size: PlanSize, only: str = EVERYTHING
) -> Findings:
    rows, shelf = painted.shelf(folder, wrong, size, only)
    return evaluate_all(
        JudgedClips(rows, shelf, painted.judge), painted.judge, SamplingOptions(), renderings=4
    )


def value(found: Findings, name: str) -> float:
    figure = found.figures[name]
    return figure.value if isinstance(figure, Proportion | Mean) else figure


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    wrong = {"motion": 0.3, "subject": 0.1}
    return report(tmp_path_factory.mktemp("shelf"), wrong, PlanSize(240, 60, 0.15))


def test_shares_are_those_of_the_clips(content: Findings) -> None:
    assert value(content, "text_place") == 1
    assert value(content, "text_subject") == pytest.approx(0.9, abs=0.06)
    assert value(content, "text_motion") == pytest.approx(0.7, abs=0.08)
    assert value(content, "pictures_motion") == pytest.approx(0.7, abs=0.15)
    motion = content.figures["text_motion"]
    assert isinstance(motion, Proportion) and motion.count == 240
    decibels = content.figures["pictures_first_frame_db"]
    assert isinstance(decibels, Mean) and decibels.value == 27


def test_every_question_of_the_evaluation_has_its_answer(content: Findings) -> None:
    for name in (
        "judges_motion", "judges_after_autoencoder_motion", "autoencoder_db", "seeds_ratio",
        "seeds_distance_of_renderings", "guidance_1_subject", "guidance_5_variety", "steps_4_place",
        "steps_32_sharpness", "negative_anybody_dogs_with", "words_an_unknown_style_all",
        "words_an_unknown_subject_motion", "nonsense_inside", "strange_line_drawings_calm",
        "strange_photographs_first_frame_db", "pair_subject_place_gap", "pair_place_motion_both",
    ):  # fmt: skip
        assert name in content.figures, name
    titles = [table.title for table in content.tables]
    assert len(titles) == len(set(titles))
    assert all(len(row) == len(t.heads) for t in content.tables for row in t.rows)


def test_json_is_json(content: Findings, tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "figures.json", content, {"weights": "abc"})
    told = json.loads((tmp_path / "deep" / "figures.json").read_text())
    motion = told["figures"]["text_motion"]
    assert motion["low"] < motion["share"] < motion["high"]
    assert motion["count"] == 240
    assert told["about"]["weights"] == "abc"


def test_the_screen_and_the_card_hold_the_figures(content: Findings) -> None:
    motion = str(content.figures["text_motion"])
    assert motion in format_text(content)
    page = format_card(content, "python -m training.evaluate")
    assert motion in page
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


def test_a_card_is_written_between_its_marks_alone(tmp_path: Path, content: Findings) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"# A model\n\n{BEGIN}\nof yesterday\n{END}\n\nits end\n")
    for _ in range(2):
        write_card(path, format_card(content, "python -m training.evaluate"))
    page = path.read_text()
    assert page.startswith(f"# A model\n\n{BEGIN}\n") and page.endswith(f"{END}\n\nits end\n")
    assert "of yesterday" not in page
    assert page.count("### Steps") == 1


@pytest.mark.parametrize("page", ["none", f"{BEGIN}", f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_card_without_marks_is_left_as_it_is(tmp_path: Path, page: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(page)
    with pytest.raises(SystemExit):
        write_card(path, "text")
    assert path.read_text() == page


def test_an_interrupted_run_is_reported_as_far_as_it_got(tmp_path: Path) -> None:
    rows, shelf = painted.shelf(tmp_path, {}, PlanSize(12, 4, 0.05), EVERYTHING)
    done = {row.request.key for row in rows[:5]}
    shelf.results = {key: made for key, made in shelf.results.items() if key in done}
    found = evaluate_all(
        JudgedClips(rows, shelf, painted.judge), painted.judge, SamplingOptions(), 2
    )
    text = found.figures["text_motion"]
    assert isinstance(text, Proportion) and text.count == 5
    format_text(found)
    format_card(found, "")
    write_json(tmp_path / "f.json", found, {})


def test_with_nothing_made_there_is_nothing_to_say(tmp_path: Path) -> None:
    rows, shelf = painted.shelf(tmp_path, {}, PlanSize(2, 1, 0.02), EVERYTHING)
    shelf.results.clear()
    found = evaluate_all(
        JudgedClips(rows, shelf, painted.judge), painted.judge, SamplingOptions(), 2
    )
    assert "-" in format_text(found)


# -- pairs ---------------------------------------------------------------------------------------


def test_perfect_clips_hold_the_gap_but_rows_stay_open_where_counts_are_small(
    tmp_path: Path,
) -> None:
    rows, shelf = painted.shelf(tmp_path, {}, PlanSize(500, 0, 0), "text")
    found = evaluate_pairs(JudgedClips(rows, shelf, painted.judge))
    gap = found.figures["pair_place_motion_gap"]
    assert isinstance(gap, Proportion) and bound_status(gap) == "holds"
    assert value(found, "pair_place_motion_rows_below") == 0
    assert value(found, "pair_place_motion_gathering_p") == 1
    assert {row[-1] for row in found.tables[0].rows} == {"open"}, "21 clips show no 5 points"


def test_a_model_that_fails_at_one_pair_s_rows_is_found_out(tmp_path: Path) -> None:
    rows, shelf = painted.shelf(tmp_path, {}, PlanSize(500, 0, 0), "text")
    for row in rows:
        if row.expected.motion == ("spin",):
            truth = {k: getattr(row.expected, k)[0] for k in painted.NAMES} | {"motion": "still"}
            shelf.save_clip(row.request.key, painted.clip(truth, 0))
    found = evaluate_pairs(JudgedClips(rows, shelf, painted.judge))
    said = {row[0]: row[-1] for row in found.tables[0].rows}
    assert said["subject and motion"] == said["place and motion"] == "fails"
    assert said["subject and place"] == "open"
    worst = [row[1] for row in found.tables[1].rows if row[0] == "place and motion"]
    assert worst[0] == "motion spin"


def favourites(
    rng: np.random.Generator, cells: int, clips: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """10 x 10 cells, `clips` in each; in `cells` of them everything is wrong, elsewhere little."""
    first, second = (x.repeat(clips) for x in np.divmod(np.arange(100), 10))
    bad = rng.choice(100, cells, replace=False)
    wrong = np.isin(10 * first + second, bad) | (rng.random(len(first)) < 0.05)
    return first, second, wrong


def test_failures_that_gather_in_cells_are_noticed() -> None:
    found = [clustering_p_value(*favourites(np.random.default_rng(i), 8, 5)) for i in range(5)]
    assert max(found) < 0.01


def test_failures_by_row_and_column_are_not_taken_for_gathering() -> None:
    low = 0
    for i in range(20):
        rng = np.random.default_rng(i)
        first, second = (x.repeat(5) for x in np.divmod(np.arange(100), 10))
        chance = 0.08 + 0.5 * (first == 3) + 0.3 * (second == 7)
        low += clustering_p_value(first, second, rng.random(500) < chance) < 0.05
    assert low <= 3
