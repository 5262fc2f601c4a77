"""What a table may say of differences: means, spreads, paired intervals.

It reads records of results alone, no images and no networks.
"""
