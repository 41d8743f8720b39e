"""What the feature functions promise.

Run them in this folder's parent: `python -m pytest`, or in the training image,
which has no pytest: `python -m unittest discover tests`.
"""

import unittest

import features
import pandas as pd
from pandas.testing import assert_frame_equal, assert_series_equal

PENGUIN = {
    "island": "Biscoe",
    "sex": "female",
    "bill_length_mm": 48,
    "bill_depth_mm": 16,
    "flipper_length_mm": 220,
    "body_mass_g": 5500,
}


class Ratio(unittest.TestCase):
    """`ratio` divides and never invents a number."""

    def test_divides(self) -> None:
        """Given 6 and 3, expect 2."""
        assert features.ratio(pd.Series([6.0]), pd.Series([3.0])).tolist() == [2.0]

    def test_zero_denominator(self) -> None:
        """Given a denominator of zero, expect a missing value, not infinity."""
        assert features.ratio(pd.Series([1.0]), pd.Series([0.0])).isna().all()

    def test_missing_operand(self) -> None:
        """Given a missing value on either side, expect a missing value."""
        left, right = pd.Series([None, 1.0], dtype=float), pd.Series([1.0, None], dtype=float)
        assert features.ratio(left, right).isna().all()


class Engineer(unittest.TestCase):
    """`engineer` adds the derived columns to those that the model reads."""

    def test_values(self) -> None:
        """Given one penguin, expect the ratio, the area and the mass computed by hand."""
        row = features.engineer(pd.DataFrame([PENGUIN])).iloc[0]
        assert row["bill_ratio"] == 48 / 16
        assert row["bill_area_mm2"] == 48 * 16
        assert row["mass_per_flipper_g_mm"] == 5500 / 220

    def test_columns(self) -> None:
        """Given a column that the model does not know, expect it to be left out."""
        table = features.engineer(pd.DataFrame([PENGUIN | {"year": 2009}]))
        assert tuple(table.columns) == (*features.COLUMNS, *features.ENGINEERED)

    def test_missing_column(self) -> None:
        """Given a table without an island, expect a KeyError that names it."""
        with self.assertRaisesRegex(KeyError, "island"):  # noqa: PT027 - the image has no pytest
            features.engineer(pd.DataFrame([PENGUIN]).drop(columns="island"))

    def test_types_do_not_depend_on_the_batch(self) -> None:
        """Given a row of missing values alone, expect the types of a full row."""
        empty = pd.DataFrame([dict.fromkeys(PENGUIN)])
        full = pd.DataFrame([PENGUIN])
        assert_series_equal(features.engineer(empty).dtypes, features.engineer(full).dtypes)

    def test_batch_equals_single_rows(self) -> None:
        """Given two rows at once, expect what each gives alone."""
        rows = [PENGUIN, PENGUIN | {"bill_depth_mm": None, "sex": None}]
        single = [features.engineer(pd.DataFrame([row])) for row in rows]
        batch = features.engineer(pd.DataFrame(rows))
        assert_frame_equal(batch, pd.concat(single, ignore_index=True))

    def test_input_is_untouched(self) -> None:
        """Given a table, expect it to be the same afterwards."""
        table = pd.DataFrame([PENGUIN])
        features.engineer(table)
        assert_frame_equal(table, pd.DataFrame([PENGUIN]))


if __name__ == "__main__":
    unittest.main()
