"""Interventions: what is taught (`task`), how weights move (`arms`), and which settings win.

A chapter states its task; its arms are lines of the profile. Nothing here knows what a task is
about: the correction of forecasts, debiasing and the study of safety share all of it.
"""

from lib.interventions.anchors import world_anchors
from lib.interventions.arms import train_arms
from lib.interventions.selection import candidates, choose, task_losses
from lib.interventions.task import Task

__all__ = ["Task", "candidates", "choose", "task_losses", "train_arms", "world_anchors"]
