"""The features of one penguin, computed alike in training and in serving.

Both images copy this one file, and the pickled pipeline refers to it by name.
The functions are pure: a table in, a new table out. Missing values stay missing;
the pipeline's imputer and encoder decide about them.
"""

from typing import Literal, get_args

import pandas as pd

Species = Literal["Adelie", "Chinstrap", "Gentoo"]

TARGET = "species"
SPECIES: tuple[Species, ...] = get_args(Species)
MEASURED = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
CATEGORIES = ("island", "sex")
ENGINEERED = ("bill_ratio", "bill_area_mm2", "mass_per_flipper_g_mm")
COLUMNS = (*CATEGORIES, *MEASURED)


def ratio(numerator: pd.Series, denominator: pd.Series) -> pd.Series:
    """Return the quotient, missing rather than infinite where the denominator is not positive."""
    return numerator / denominator.where(denominator > 0)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the model's columns with fixed types.

    A batch of one row may hold nothing but a missing value in a column, and whole
    numbers only in another: what pandas would infer depends on the batch.
    """
    types = dict.fromkeys(CATEGORIES, "str") | dict.fromkeys(MEASURED, "float64")
    return table[list(COLUMNS)].astype(types)


def engineer(table: pd.DataFrame) -> pd.DataFrame:
    """Return the model's columns and what is derived from them."""
    columns = typed(table)
    length, depth = columns["bill_length_mm"], columns["bill_depth_mm"]
    return columns.assign(
        bill_ratio=ratio(length, depth),
        bill_area_mm2=length * depth,
        mass_per_flipper_g_mm=ratio(columns["body_mass_g"], columns["flipper_length_mm"]),
    )
