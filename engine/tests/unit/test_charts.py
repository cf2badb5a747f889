"""Charts: everything lies inside the drawing, and lengths say what the values say."""

import math

from goldpath.pages.charts import (
    COLUMNS_HEIGHT,
    COLUMNS_WIDTH,
    HEIGHT,
    LEFT,
    WIDTH,
    Part,
    bars,
    line_chart,
    stacked_columns,
)


def points(text: str) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in text.split()]
    return [(float(x), float(y)) for x, y in pairs]


def test_curve_keeps_inside_the_axes_and_rises_where_its_values_do() -> None:
    chart = line_chart([0, 1, 2, 3], {"a": [5.0, 6.0, 9.0, 7.0]}, "seconds", "loss")
    (curve,) = chart.curves
    found = points(curve.points)
    assert [x for x, _ in found] == sorted(x for x, _ in found)
    assert min(found, key=lambda point: point[1]) == found[2]
    assert all(LEFT <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in found)
    assert chart.label == "loss by seconds"


def test_what_is_not_finite_is_left_out() -> None:
    chart = line_chart([0, 1, 2], {"a": [math.nan, 1.0, math.inf], "b": [1.0, 2.0, 3.0]}, "s", "y")
    assert [len(points(curve.points)) for curve in chart.curves] == [1, 3]
    hopeless = line_chart([0, 1], {"a": [math.nan, math.nan]}, "s", "y")
    assert hopeless.curves[0].points == ""


def test_one_value_and_equal_values_have_axes() -> None:
    for across, up in (([3.0], [7.0]), ([0.0, 0.0], [0.0, 0.0]), ([1e12, 1e12], [-1e9, -1e9])):
        chart = line_chart(across, {"a": up}, "x", "y")
        assert all(math.isfinite(x + y) for x, y in points(chart.curves[0].points))
        assert len({tick.at for tick in chart.y_ticks}) == 4


def test_marks_of_an_axis_tell_its_values_apart() -> None:
    chart = line_chart([0, 1], {"a": [0.30011, 0.30019]}, "x", "y")
    assert len({tick.label for tick in chart.y_ticks}) == 4


def test_bar_is_a_share_of_the_longest() -> None:
    found = bars([("a", 4.0, "4"), ("b", 1.0, "1"), ("c", -2.0, "-2")])
    assert [bar.share for bar in found] == [1.0, 0.25, 0.0]
    assert [bar.share for bar in bars([("a", 0.0, "0"), ("b", -1.0, "-1")])] == [0.0, 0.0]
    assert bars([]) == ()


def test_parts_stand_on_each_other_and_the_largest_column_fills_the_height() -> None:
    first = [Part(6, "kept", ""), Part(2, "dropped", ""), Part(2, "refused", "")]
    second = [Part(5, "kept", ""), Part(0, "dropped", ""), Part(0, "refused", "")]
    blocks = stacked_columns([first, second], fewest=1)
    kept, dropped, refused = blocks[:3]
    assert kept.y + kept.height == COLUMNS_HEIGHT
    assert dropped.y + dropped.height == kept.y
    assert 0 <= refused.y < 3
    assert blocks[3].height == (COLUMNS_HEIGHT - 2) / 2
    assert blocks[3].x > COLUMNS_WIDTH / 2


def test_single_column_is_no_wall_and_nothing_is_no_column() -> None:
    (block,) = stacked_columns([[Part(3, "kept", "")]])
    assert block.width < COLUMNS_WIDTH / 10
    assert stacked_columns([]) == ()
    (empty,) = stacked_columns([[Part(0, "kept", "")]])
    assert empty.height == 0
