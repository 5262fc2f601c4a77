"""The recovery loop: a group of images optimised by its plan until it matches. One loop for every method."""
