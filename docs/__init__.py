"""What is written for people; `tables` makes the parts of it that come from the code."""
