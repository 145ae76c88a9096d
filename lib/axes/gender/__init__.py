"""Gender: the planted world's pronouns, and the public benchmarks of the field.

Each module has one benchmark: functions that turn a model and the items of `lib.datasets` into an
item frame, and functions that sum such a frame up as its authors do. The latter need no model:
they take any frame with the columns they name.
"""

from lib.axes.gender.crows_pairs import crows_pairs_score
from lib.axes.gender.stereoset import stereoset_scores
from lib.axes.gender.world import pronouns

__all__ = ["crows_pairs_score", "pronouns", "stereoset_scores"]
