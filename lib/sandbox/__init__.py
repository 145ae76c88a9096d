"""The planted world: its truth (`world`), its text (`patterns`, `analysts`, `corpus`), its model."""
