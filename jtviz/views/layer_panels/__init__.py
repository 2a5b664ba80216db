"""The panels of the view of what each layer knows: for each tab its traits, and what it answers to a page."""
