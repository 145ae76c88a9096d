"""Time series, what is shown of them, and what a rational forecaster would say."""
