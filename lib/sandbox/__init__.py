"""The planted world: truth (`world`), text (`patterns` to `corpus`) and model (`pretrain`)."""
