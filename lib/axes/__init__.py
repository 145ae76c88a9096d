"""What is measured of a model: each axis turns a model into an item frame, one row an item."""
