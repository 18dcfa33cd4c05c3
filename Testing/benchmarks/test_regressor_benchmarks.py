"""What the benchmarks of the regressor keep and write.

Rows that a broken run goes on from, and tables between marks.
"""

from benchmarks.kept import Rows, put


def refuse():
    raise AssertionError("measured again")


def test_rows_are_measured_once_and_outlive_a_run_that_was_cut_short(tmp_path):
    path = tmp_path / "build" / "rows.jsonl"
    assert Rows(path).get("poses", "a", 1.5, measure=lambda: {"mm": [1.0, 2.0]}) == {
        "mm": [1.0, 2.0]
    }
    with path.open("a") as stream:
        stream.write('{"key": "poses c", "m')
    again = Rows(path)
    assert len(again) == 1 and again.get("poses", "a", 1.5, measure=refuse) == {"mm": [1.0, 2.0]}
    again.get("poses", "c", measure=lambda: {"mm": 3})
    assert Rows(path).get("poses", "c", measure=refuse) == {"mm": 3}


def test_a_part_of_a_page_is_replaced_and_the_rest_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nProse.\n")
    put(page, "one", "first")
    put(page, "two", "second\n")
    page.write_text(page.read_text().replace("<!-- two: begin", "More prose.\n\n<!-- two: begin"))
    put(page, "one", "a table\n\nand a line")
    assert page.read_text() == (
        "# Title\n\nProse.\n\n<!-- one: begin -->\na table\n\nand a line\n<!-- one: end -->\n\n"
        "More prose.\n\n<!-- two: begin -->\nsecond\n<!-- two: end -->\n"
    )
