"""The axes of the study, in the order of its tables. A new one is its import and its line."""

from lib.axes.axis import Axis
from lib.axes.overreaction import Overreaction
from lib.axes.pronouns import Pronouns
from lib.axes.safety import Safety
from lib.axes.toxicity import Toxicity
from lib.axes.utility import Utility

AXES: dict[str, Axis] = {
    axis.name: axis
    for axis in (
        Overreaction(),
        Pronouns(),
        Safety(),
        Toxicity(),
        Utility(),
    )
}
