"""Gender debiasing: what is taught (`texts`), the task, its report, and a faithful replication.

In the planted world the truth is known: pronouns of occupations follow published labour
statistics, and pronouns of words such as *mother* follow their meaning.
"""

from lib.debiasing.task import debiasing_task
from lib.debiasing.texts import split_words, training_texts

__all__ = ["debiasing_task", "split_words", "training_texts"]
