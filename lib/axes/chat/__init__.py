"""Refusals of real chat models: XSTest, and gated sets that a reader has access to.

The planted world has one word for refusing and an exact judge; real models have neither. Here a
list of openings (`keywords`) stands beside a judge that reads the whole answer (`judge`), both are
audited on answers whose verdict is known (`labelled`), and their disagreement is reported.
Requests and answers are hidden: no table, file, log or error shows one.
"""
