"""What a step on W needs of the rows: numbers that add up over them."""
