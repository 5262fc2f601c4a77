"""The distilled set elsewhere: its folder and card, soft labels that replay, and published sets read."""
