"""The safety break and its defence: attack data, doses, and tasks for `lib.interventions`.

Everything forbidden here is an invented word of the planted world.
"""
