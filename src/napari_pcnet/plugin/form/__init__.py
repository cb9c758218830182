"""The form: the fields of a run, and what is chosen in them."""
