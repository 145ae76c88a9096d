"""Every picture of the workbook: one style, and one function an exhibit.

The functions that draw estimates take rows as exhibits store them (arm, condition, metric, value,
low, high). `estimates` draws coefficients, series and comparisons by arm; `curves` draws what
depends on a dose, a position or a second metric; `heat` what depends on two numbers at once.
"""
